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
    threads: 1
    resources:
        mem_mb=memory("classify"),
        runtime=runtime("classify"),
        gpu=lambda w: CONFIG.models[w.model].gpus if other_sequences(w) else 0,
    params:
        config=lambda w: STUDY.section("classification", w.classification),
        model=lambda w: STUDY.section("models", w.model) if other_sequences(w) else None,
        source=source_of("classify", model="model", classification="classification"),
    script:
        "../workflow/scripts/classify.py"


rule power_law:
    input:
        neurons=lambda w: [
            f"{SHARED}/merge_profile/{STUDY.profile_key(w.model, corpus)}/neurons.parquet"
            for corpus in STUDY.corpora
        ],
    output:
        power_law=f"{RESULTS}/power_law/{{model}}/power_law.parquet",
        ranked=f"{RESULTS}/power_law/{{model}}/ranked.parquet",
        hot_overlaps=f"{RESULTS}/power_law/{{model}}/hot_overlaps.parquet",
    log:
        f"{LOGS}/{CONFIG.study}/power_law/{{model}}.log",
    threads: 1
    resources:
        mem_mb=memory("power_law"),
        runtime=runtime("power_law"),
    params:
        corpora=STUDY.corpora,
        source=source_of("power_law"),
    script:
        "../workflow/scripts/power_law.py"
