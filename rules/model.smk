rule convert_model:
    output:
        **outputs("convert_model"),
    log:
        log_of("convert_model"),
    threads: 1
    resources:
        mem_mb=memory("convert_model"),
        runtime=runtime("convert_model"),
    params:
        name=lambda w: MODELS[w.model_key],
        config=lambda w: STUDY.original(MODELS[w.model_key]),
        source=source_of("convert_model"),
    script:
        "../workflow/scripts/convert_model.py"


rule resolve_model:
    input:
        converted=conversion_of,
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
