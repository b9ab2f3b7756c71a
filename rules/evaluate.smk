rule evaluate:
    input:
        record=model_of,
        plan=f"{RESULTS}/fit/{PLAN}/plan.json",
        arrays=f"{RESULTS}/fit/{PLAN}/plan.safetensors",
        sample_shards=if_divided(
            f"{RESULTS}/evaluate_shard/{PLAN}", "samples", CONFIG.evaluation.shards
        ),
        count_shards=if_divided(
            f"{RESULTS}/evaluate_shard/{PLAN}", "counts", CONFIG.evaluation.shards
        ),
    output:
        samples=f"{RESULTS}/evaluate/{PLAN}/samples.parquet",
        sparsity=f"{RESULTS}/evaluate/{PLAN}/sparsity.parquet",
    log:
        f"{LOGS}/{CONFIG.study}/evaluate/{PLAN}.log",
    threads: 1
    resources:
        mem_mb=memory("evaluate"),
        runtime=runtime("evaluate"),
        gpu=GPUS if CONFIG.evaluation.shards == 1 else 0,
    params:
        model=fixed(lambda w: STUDY.section("models", w.model)),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate", model="model", method="method"),
    script:
        "../workflow/scripts/evaluate.py"


rule evaluate_shard:
    input:
        record=model_of,
        plan=f"{RESULTS}/fit/{PLAN}/plan.json",
        arrays=f"{RESULTS}/fit/{PLAN}/plan.safetensors",
    output:
        samples=f"{RESULTS}/evaluate_shard/{PLAN}/{{shard}}-of-{{shards}}/samples.parquet",
        counts=f"{RESULTS}/evaluate_shard/{PLAN}/{{shard}}-of-{{shards}}/counts.parquet",
    log:
        f"{LOGS}/{CONFIG.study}/evaluate_shard/{PLAN}/{{shard}}-of-{{shards}}.log",
    threads: 1
    resources:
        mem_mb=memory("evaluate_shard"),
        runtime=runtime("evaluate_shard"),
        gpu=GPUS,
    params:
        model=fixed(lambda w: STUDY.section("models", w.model)),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_shard", model="model", method="method"),
    script:
        "../workflow/scripts/evaluate_shard.py"


rule evaluate_dense:
    input:
        record=model_of,
        sample_shards=if_divided(
            f"{SHARED}/evaluate_dense_shard/{{dense_key}}", "samples", CONFIG.evaluation.shards
        ),
        count_shards=if_divided(
            f"{SHARED}/evaluate_dense_shard/{{dense_key}}", "counts", CONFIG.evaluation.shards
        ),
    output:
        samples=f"{SHARED}/evaluate_dense/{{dense_key}}/samples.parquet",
        sparsity=f"{SHARED}/evaluate_dense/{{dense_key}}/sparsity.parquet",
    log:
        f"{LOGS}/shared/evaluate_dense/{{dense_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("evaluate_dense"),
        runtime=runtime("evaluate_dense"),
        gpu=GPUS if CONFIG.evaluation.shards == 1 else 0,
    params:
        model=lambda w: STUDY.section("models", DENSE[w.dense_key]),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_dense", model="dense_key"),
    script:
        "../workflow/scripts/evaluate_dense.py"


rule evaluate_dense_shard:
    input:
        record=model_of,
    output:
        samples=f"{SHARED}/evaluate_dense_shard/{{dense_key}}/{{shard}}-of-{{shards}}/samples.parquet",
        counts=f"{SHARED}/evaluate_dense_shard/{{dense_key}}/{{shard}}-of-{{shards}}/counts.parquet",
    log:
        f"{LOGS}/shared/evaluate_dense_shard/{{dense_key}}/{{shard}}-of-{{shards}}.log",
    threads: 1
    resources:
        mem_mb=memory("evaluate_dense_shard"),
        runtime=runtime("evaluate_dense_shard"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", DENSE[w.dense_key]),
        evaluation=as_it_is(undivided(STUDY.evaluation())),
        source=source_of("evaluate_dense_shard", model="dense_key"),
    script:
        "../workflow/scripts/evaluate_dense_shard.py"
