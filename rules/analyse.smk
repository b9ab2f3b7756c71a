rule analyse:
    input:
        samples=of_conditions("samples.parquet"),
        sparsity=of_conditions("sparsity.parquet"),
        plans=[f"{RESULTS}/fit/{condition}/plan.json" for condition in conditions()],
        models=[f"{SHARED}/resolve_model/{key}/model.json" for key in MODELS],
        layers=[
            f"{SHARED}/merge_profile/{STUDY.profile_key(model, STUDY.main_corpus)}/layers.parquet"
            for model in CONFIG.models
        ],
        classifications=[
            f"{RESULTS}/classify/{model}/{STUDY.main_corpus}/"
            f"{STUDY.main_classification}/classification.json"
            for model in CONFIG.models
        ],
        part_neurons=[
            f"{SHARED}/merge_profile/"
            f"{STUDY.profile_key(model, CONFIG.methods[method].corpus)}/neurons.parquet"
            for model, method, _ in STUDY.parted
        ],
        part_classes=[classes_of_method(model, method) for model, method, _ in STUDY.parted],
    output:
        tables=expand(
            f"{RESULTS}/analyse/{{table}}.parquet",
            table=[
                "curves",
                "perplexity",
                "correlations",
                "units",
                "steps",
                "removals",
                "removed_by_layer",
                "refused",
            ],
        ),
        finding=report(
            f"{RESULTS}/analyse/finding.json",
            caption="../workflow/report/finding.rst",
            category="Finding",
        ),
    log:
        f"{LOGS}/{CONFIG.study}/analyse.log",
    threads: 1
    resources:
        mem_mb=memory("analyse"),
        runtime=runtime("analyse"),
    params:
        conditions=all_conditions(),
        parted=[
            dict(
                model=model,
                method=method,
                part=part,
                by_layer=CONFIG.methods[method].scope == "layer",
            )
            for model, method, part in STUDY.parted
        ],
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        orders=STUDY.orders,
        analysis=CONFIG.analysis.model_dump(),
        seed=CONFIG.seed,
        source=source_of("analyse"),
    script:
        "../workflow/scripts/analyse.py"
