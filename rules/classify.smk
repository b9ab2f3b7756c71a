rule classify:
    input:
        record=model_of,
        neurons=lambda w: neurons_of(w.model, w.corpus),
        other_neurons=other_neurons,
        other_sequences=other_sequences,
    output:
        **outputs("classify"),
    log:
        log_of("classify"),
    threads: 1
    resources:
        mem_mb=memory("classify"),
        runtime=runtime("classify"),
        gpu=lambda w: CONFIG.models[w.model].gpus if other_sequences(w) else 0,
    params:
        config=lambda w: STUDY.section("classification", w.classification),
        model=lambda w: STUDY.section("models", w.model) if other_sequences(w) else None,
        source=source_of("classify"),
    script:
        "../workflow/scripts/classify.py"


rule power_law:
    input:
        neurons=lambda w: [neurons_of(w.model, corpus) for corpus in STUDY.corpora],
    output:
        **outputs("power_law"),
    log:
        log_of("power_law"),
    threads: 1
    resources:
        mem_mb=memory("power_law"),
        runtime=runtime("power_law"),
    params:
        corpora=STUDY.corpora,
        profile_keys=lambda w: {c: STUDY.profile_key(w.model, c) for c in STUDY.corpora},
        source=source_of("power_law"),
    script:
        "../workflow/scripts/power_law.py"
