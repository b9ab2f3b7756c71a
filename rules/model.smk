rule resolve_model:
    output:
        **outputs("resolve_model"),
    log:
        log_of("resolve_model"),
    threads: 1
    resources:
        mem_mb=memory("resolve_model"),
        runtime=runtime("resolve_model"),
    params:
        name=lambda w: MODELS[w.model_key],
        config=lambda w: STUDY.section("models", MODELS[w.model_key]),
        source=source_of("resolve_model"),
    script:
        "../workflow/scripts/resolve_model.py"
