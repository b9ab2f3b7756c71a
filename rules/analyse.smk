rule analyse:
    input:
        samples=of_conditions("samples.parquet"),
        sparsity=of_conditions("sparsity.parquet"),
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
    output:
        curves=f"{RESULTS}/analyse/curves.parquet",
        refused=f"{RESULTS}/analyse/refused.parquet",
        finding=report(
            f"{RESULTS}/analyse/finding.json",
            caption="../workflow/report/finding.rst",
            category="Finding",
        ),
    log:
        f"{LOGS}/{CONFIG.study}/analyse.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/analyse.tsv"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        conditions=all_conditions(),
        tasks=STUDY.evaluation()["tasks"],
        sparsifiers={name: method.sparsifier for name, method in CONFIG.methods.items()},
        analysis=CONFIG.analysis.model_dump(),
        seed=CONFIG.seed,
        source=STUDY.source("analyse"),
    script:
        "../workflow/scripts/analyse.py"
