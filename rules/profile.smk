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
        mem_mb=memory(2000),
        runtime=runtime(60),
        gpu=gpus,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=CONFIG.profile.model_dump(exclude={"shards"}) | {"shards": 1},
        source=lambda w: STUDY.source("profile_shard", model=PROFILES[w.profile_key][0]),
    script:
        "../workflow/scripts/profile_shard.py"


rule merge_profile:
    input:
        record=model_of,
        block_shards=expand(
            f"{SHARED}/profile_shard/{{{{profile_key}}}}/{{shard}}-of-{CONFIG.profile.shards}/blocks.parquet",
            shard=range(CONFIG.profile.shards),
        ),
        layer_shards=expand(
            f"{SHARED}/profile_shard/{{{{profile_key}}}}/{{shard}}-of-{CONFIG.profile.shards}/layers.parquet",
            shard=range(CONFIG.profile.shards),
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
        mem_mb=memory(2000),
        runtime=runtime(10),
    params:
        source=rule_source("merge_profile"),
    script:
        "../workflow/scripts/merge_profile.py"
