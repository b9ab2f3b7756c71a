rule classify:
    input:
        record=model_of,
        neurons=lambda w: f"{SHARED}/merge_profile/"
        f"{STUDY.profile_key(w.model, w.corpus)}/neurons.parquet",
    output:
        classes=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classes.parquet",
        summary=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classification.json",
    log:
        f"{LOGS}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.tsv"
    threads: 1
    resources:
        mem_mb=at_most(cost.asked_megabytes, "classify"),
        runtime=at_most(cost.asked_minutes, "classify"),
    params:
        config=lambda w: STUDY.section("classification", w.classification),
        source=source_of("classify", classification="classification"),
    script:
        "../workflow/scripts/classify.py"
