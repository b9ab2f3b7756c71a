rule evaluate:
    input:
        record=model_of,
        plan=f"{RESULTS}/fit/{PLAN}/plan.json",
        arrays=f"{RESULTS}/fit/{PLAN}/plan.safetensors",
    output:
        samples=f"{RESULTS}/evaluate/{PLAN}/samples.parquet",
        sparsity=f"{RESULTS}/evaluate/{PLAN}/sparsity.parquet",
    log:
        f"{LOGS}/{CONFIG.study}/evaluate/{PLAN}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/evaluate/{PLAN}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(60),
        gpu=gpus,
    params:
        model=lambda w: STUDY.section("models", w.model),
        evaluation=STUDY.evaluation(),
        source=lambda w: STUDY.source("evaluate", model=w.model),
    script:
        "../workflow/scripts/evaluate.py"


rule evaluate_dense:
    input:
        record=model_of,
    output:
        samples=f"{SHARED}/evaluate_dense/{{dense_key}}/samples.parquet",
        sparsity=f"{SHARED}/evaluate_dense/{{dense_key}}/sparsity.parquet",
    log:
        f"{LOGS}/shared/evaluate_dense/{{dense_key}}.log",
    benchmark:
        f"{TIMING}/shared/evaluate_dense/{{dense_key}}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(60),
        gpu=gpus,
    params:
        model=lambda w: STUDY.section("models", DENSE[w.dense_key]),
        evaluation=STUDY.evaluation(),
        source=lambda w: STUDY.source("evaluate_dense", model=DENSE[w.dense_key]),
    script:
        "../workflow/scripts/evaluate_dense.py"
