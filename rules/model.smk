rule resolve_model:
    output:
        model=f"{SHARED}/resolve_model/{{model_key}}/model.json",
    log:
        f"{LOGS}/shared/resolve_model/{{model_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("resolve_model"),
        runtime=runtime("resolve_model"),
    params:
        name=lambda w: MODELS[w.model_key],
        config=lambda w: STUDY.section("models", MODELS[w.model_key]),
        source=source_of("resolve_model", model="model_key"),
    script:
        "../workflow/scripts/resolve_model.py"
