rule evaluate:
    input:
        record=RECORD,
        cleared=ancient(CLEARED),
        plan=path("fit", "plan"),
        arrays=path("fit", "arrays"),
        sample_shards=shards_of("evaluate_shard", "samples", CONFIG.evaluation.shards),
        count_shards=shards_of("evaluate_shard", "counts", CONFIG.evaluation.shards),
    output:
        **outputs("evaluate"),
    log:
        log_of("evaluate"),
    threads: 1
    resources:
        mem_mb=memory("evaluate"),
        runtime=runtime("evaluate"),
        gpu=GPUS if CONFIG.evaluation.shards == 1 else 0,
    params:
        model=fixed(lambda w: STUDY.section("models", w.model)),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate"),
    script:
        "../workflow/scripts/evaluate.py"


rule evaluate_shard:
    input:
        record=RECORD,
        cleared=ancient(CLEARED),
        plan=path("fit", "plan"),
        arrays=path("fit", "arrays"),
    output:
        **outputs("evaluate_shard"),
    log:
        log_of("evaluate_shard"),
    threads: 1
    resources:
        mem_mb=memory("evaluate_shard"),
        runtime=runtime("evaluate_shard"),
        gpu=GPUS,
    params:
        model=fixed(lambda w: STUDY.section("models", w.model)),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_shard"),
    script:
        "../workflow/scripts/evaluate_shard.py"


rule evaluate_dense:
    input:
        record=RECORD,
        cleared=ancient(CLEARED),
        sample_shards=shards_of("evaluate_dense_shard", "samples", CONFIG.evaluation.shards),
        count_shards=shards_of("evaluate_dense_shard", "counts", CONFIG.evaluation.shards),
    output:
        **outputs("evaluate_dense"),
    log:
        log_of("evaluate_dense"),
    threads: 1
    resources:
        mem_mb=memory("evaluate_dense"),
        runtime=runtime("evaluate_dense"),
        gpu=GPUS if CONFIG.evaluation.shards == 1 else 0,
    params:
        model=lambda w: STUDY.section("models", DENSE[w.dense_key]),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_dense"),
    script:
        "../workflow/scripts/evaluate_dense.py"


rule evaluate_dense_shard:
    input:
        record=RECORD,
        cleared=ancient(CLEARED),
    output:
        **outputs("evaluate_dense_shard"),
    log:
        log_of("evaluate_dense_shard"),
    threads: 1
    resources:
        mem_mb=memory("evaluate_dense_shard"),
        runtime=runtime("evaluate_dense_shard"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", DENSE[w.dense_key]),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_dense_shard"),
    script:
        "../workflow/scripts/evaluate_dense_shard.py"
