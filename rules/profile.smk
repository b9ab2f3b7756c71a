rule profile_sample:
    input:
        record=model_of,
        sequences=profiled_sequences,
    output:
        **outputs("profile_sample"),
    log:
        log_of("profile_sample"),
    threads: 1
    resources:
        mem_mb=memory("profile_sample"),
        runtime=runtime("profile_sample"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=PROFILE,
        source=source_of("profile_sample"),
    script:
        "../workflow/scripts/profile_sample.py"


rule profile_shard:
    input:
        record=model_of,
        sequences=profiled_sequences,
        thresholds=path("profile_sample", "thresholds"),
        norms=path("profile_sample", "norms"),
    output:
        **outputs("profile_shard"),
    log:
        log_of("profile_shard"),
    threads: 1
    resources:
        mem_mb=memory("profile_shard"),
        runtime=runtime("profile_shard"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=PROFILE,
        source=source_of("profile_shard"),
    script:
        "../workflow/scripts/profile_shard.py"


rule merge_profile:
    input:
        record=model_of,
        thresholds=path("profile_sample", "thresholds"),
        norms=path("profile_sample", "norms"),
        neuron_shards=shards_of("profile_shard", "neurons", CONFIG.profile.shards),
        channel_shards=shards_of("profile_shard", "channels", CONFIG.profile.shards),
        histogram_shards=shards_of("profile_shard", "histograms", CONFIG.profile.shards),
    output:
        **outputs("merge_profile"),
    log:
        log_of("merge_profile"),
    threads: 1
    resources:
        mem_mb=memory("merge_profile"),
        runtime=runtime("merge_profile"),
    params:
        blocks=CONFIG.profile.blocks,
        source=source_of("merge_profile"),
    script:
        "../workflow/scripts/merge_profile.py"
