rule classify:
    input:
        record=model_of,
        neurons=profile_of("neurons"),
    output:
        classes=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classes.parquet",
        summary=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classification.json",
    log:
        f"{LOGS}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        config=lambda w: STUDY.section("classification", w.classification),
        source=lambda w: STUDY.source("classify", classification=w.classification),
    script:
        "../workflow/scripts/classify.py"
