rule profile_shard:
    input:
        record=model_of,
        sequences=lambda w: f"{SHARED}/extract_calibration/"
        f"{STUDY.corpus_key(*PROFILES[w.profile_key])}/sequences.parquet",
    output:
        blocks=f"{SHARED}/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}/blocks.parquet",
        layers=f"{SHARED}/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}/layers.parquet",
    log:
        f"{LOGS}/shared/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}.log",
    benchmark:
        f"{TIMING}/shared/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}.tsv"
    threads: 1
    resources:
        mem_mb=memory("profile_shard"),
        runtime=runtime("profile_shard"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=undivided(CONFIG.profile.model_dump()),
        source=source_of("profile_shard", model="profile_key"),
    script:
        "../workflow/scripts/profile_shard.py"


rule merge_profile:
    input:
        record=model_of,
        block_shards=shards_of(
            f"{SHARED}/profile_shard/{{profile_key}}", "blocks", CONFIG.profile.shards
        ),
        layer_shards=shards_of(
            f"{SHARED}/profile_shard/{{profile_key}}", "layers", CONFIG.profile.shards
        ),
    output:
        neurons=f"{SHARED}/merge_profile/{{profile_key}}/neurons.parquet",
        layers=f"{SHARED}/merge_profile/{{profile_key}}/layers.parquet",
    log:
        f"{LOGS}/shared/merge_profile/{{profile_key}}.log",
    benchmark:
        f"{TIMING}/shared/merge_profile/{{profile_key}}.tsv"
    threads: 1
    resources:
        mem_mb=memory("merge_profile"),
        runtime=runtime("merge_profile"),
    params:
        source=source_of("merge_profile"),
    script:
        "../workflow/scripts/merge_profile.py"
