rule profile_sample:
    input:
        record=model_of,
        sequences=lambda w: f"{SHARED}/extract_calibration/"
        f"{STUDY.corpus_key(*PROFILES[w.profile_key])}/sequences.parquet",
    output:
        thresholds=f"{SHARED}/profile_sample/{{profile_key}}/thresholds.parquet",
        norms=f"{SHARED}/profile_sample/{{profile_key}}/norms.parquet",
        tokens=f"{SHARED}/profile_sample/{{profile_key}}/tokens.parquet",
        cett_curve=f"{SHARED}/profile_sample/{{profile_key}}/cett_curve.parquet",
        always_active=f"{SHARED}/profile_sample/{{profile_key}}/always_active.parquet",
        prompt_overlaps=f"{SHARED}/profile_sample/{{profile_key}}/prompt_overlaps.parquet",
    log:
        f"{LOGS}/shared/profile_sample/{{profile_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("profile_sample"),
        runtime=runtime("profile_sample"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=PROFILE,
        source=source_of("profile_sample", model="profile_key"),
    script:
        "../workflow/scripts/profile_sample.py"


rule profile_shard:
    input:
        record=model_of,
        sequences=lambda w: f"{SHARED}/extract_calibration/"
        f"{STUDY.corpus_key(*PROFILES[w.profile_key])}/sequences.parquet",
        thresholds=f"{SHARED}/profile_sample/{{profile_key}}/thresholds.parquet",
        norms=f"{SHARED}/profile_sample/{{profile_key}}/norms.parquet",
    output:
        neurons=f"{SHARED}/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}/neurons.parquet",
        channels=f"{SHARED}/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}/channels.parquet",
        histograms=f"{SHARED}/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}/histograms.parquet",
    log:
        f"{LOGS}/shared/profile_shard/{{profile_key}}/{{shard}}-of-{{shards}}.log",
    threads: 1
    resources:
        mem_mb=memory("profile_shard"),
        runtime=runtime("profile_shard"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        config=PROFILE,
        source=source_of("profile_shard", model="profile_key"),
    script:
        "../workflow/scripts/profile_shard.py"


rule merge_profile:
    input:
        record=model_of,
        thresholds=f"{SHARED}/profile_sample/{{profile_key}}/thresholds.parquet",
        norms=f"{SHARED}/profile_sample/{{profile_key}}/norms.parquet",
        neuron_shards=shards_of(
            f"{SHARED}/profile_shard/{{profile_key}}", "neurons", CONFIG.profile.shards
        ),
        channel_shards=shards_of(
            f"{SHARED}/profile_shard/{{profile_key}}", "channels", CONFIG.profile.shards
        ),
        histogram_shards=shards_of(
            f"{SHARED}/profile_shard/{{profile_key}}", "histograms", CONFIG.profile.shards
        ),
    output:
        neurons=f"{SHARED}/merge_profile/{{profile_key}}/neurons.parquet",
        channels=f"{SHARED}/merge_profile/{{profile_key}}/channels.parquet",
        histograms=f"{SHARED}/merge_profile/{{profile_key}}/histograms.parquet",
        layers=f"{SHARED}/merge_profile/{{profile_key}}/layers.parquet",
    log:
        f"{LOGS}/shared/merge_profile/{{profile_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("merge_profile"),
        runtime=runtime("merge_profile"),
    params:
        blocks=CONFIG.profile.blocks,
        source=source_of("merge_profile"),
    script:
        "../workflow/scripts/merge_profile.py"


rule collect_hessian:
    input:
        record=model_of,
        sequences=lambda w: f"{SHARED}/extract_calibration/"
        f"{STUDY.corpus_key(*PROFILES[w.profile_key])}/sequences.parquet",
    output:
        hessian=f"{SHARED}/collect_hessian/{{profile_key}}/hessian.safetensors",
    log:
        f"{LOGS}/shared/collect_hessian/{{profile_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("collect_hessian"),
        runtime=runtime("collect_hessian"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        batch_size=CONFIG.profile.batch_size,
        source=source_of("collect_hessian", model="profile_key"),
    script:
        "../workflow/scripts/collect_hessian.py"


rule collect_residuals:
    input:
        record=model_of,
        sequences=lambda w: f"{SHARED}/extract_calibration/"
        f"{STUDY.corpus_key(*PROFILES[w.profile_key])}/sequences.parquet",
        thresholds=f"{SHARED}/profile_sample/{{profile_key}}/thresholds.parquet",
        norms=f"{SHARED}/profile_sample/{{profile_key}}/norms.parquet",
    output:
        residuals=f"{SHARED}/collect_residuals/{{profile_key}}/{{tokens}}/residuals.safetensors",
    log:
        f"{LOGS}/shared/collect_residuals/{{profile_key}}/{{tokens}}.log",
    threads: 1
    resources:
        mem_mb=memory("collect_residuals"),
        runtime=runtime("collect_residuals"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", PROFILES[w.profile_key][0]),
        batch_size=CONFIG.profile.batch_size,
        source=source_of("collect_residuals", model="profile_key"),
    script:
        "../workflow/scripts/collect_residuals.py"
