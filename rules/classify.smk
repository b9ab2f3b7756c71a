rule classify:
    input:
        record=model_of,
        neurons=lambda w: f"{SHARED}/merge_profile/"
        f"{STUDY.profile_key(w.model, w.corpus)}/neurons.parquet",
        other_neurons=other_neurons,
        other_sequences=other_sequences,
    output:
        classes=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classes.parquet",
        summary=f"{RESULTS}/classify/{{model}}/{{corpus}}/{{classification}}/classification.json",
    log:
        f"{LOGS}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/classify/{{model}}/{{corpus}}/{{classification}}.tsv"
    threads: 1
    resources:
        mem_mb=memory("classify"),
        runtime=runtime("classify"),
        gpu=GPUS,
    params:
        config=lambda w: STUDY.section("classification", w.classification),
        model=lambda w: STUDY.section("models", w.model) if other_sequences(w) else None,
        source=source_of("classify", model="model", classification="classification"),
    script:
        "../workflow/scripts/classify.py"
