rule resolve_model:
    output:
        model=f"{SHARED}/resolve_model/{{model_key}}/model.json",
    log:
        f"{LOGS}/shared/resolve_model/{{model_key}}.log",
    benchmark:
        f"{TIMING}/shared/resolve_model/{{model_key}}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        name=lambda w: MODELS[w.model_key],
        config=lambda w: STUDY.section("models", MODELS[w.model_key]),
        source=lambda w: STUDY.source("resolve_model", model=MODELS[w.model_key]),
    script:
        "../workflow/scripts/resolve_model.py"
