#: The folders whose files the analysis reads, with what they are about.
EVALUATED = evaluated_conditions()
FITTED = {
    f"{RESULTS}/fit/{c.model}/{c.method}/{c.level}/{c.seed}": asdict(c) for c in STUDY.conditions
}
RESOLVED = {f"{SHARED}/resolve_model/{key}": dict(model=model) for key, model in MODELS.items()}
MAIN_PROFILES = profiles((model, STUDY.main_corpus) for model in CONFIG.models)
MAIN_CLASSES = classifications(
    (model, STUDY.main_corpus, STUDY.main_classification) for model in CONFIG.models
)
PARTED = parted_methods()
PART_PROFILES = profiles((part["model"], part["corpus"]) for part in PARTED)
PART_CLASSES = classifications(
    (part["model"], part["corpus"], part["classification"]) for part in PARTED
)


rule analyse:
    input:
        samples=in_folders(EVALUATED, "samples.parquet"),
        sparsity=in_folders(EVALUATED, "sparsity.parquet"),
        plans=in_folders(FITTED, "plan.json"),
        models=in_folders(RESOLVED, "model.json"),
        layers=in_folders(MAIN_PROFILES, "layers.parquet"),
        classifications=in_folders(MAIN_CLASSES, "classification.json"),
        part_neurons=in_folders(PART_PROFILES, "neurons.parquet"),
        part_classes=in_folders(PART_CLASSES, "classes.parquet"),
    output:
        tables=[f"{RESULTS}/analyse/{file}" for file in STAGES["analyse"].files],
    log:
        f"{LOGS}/{CONFIG.study}/analyse.log",
    threads: 1
    resources:
        mem_mb=memory("analyse"),
        runtime=runtime("analyse"),
    params:
        folders=identified(
            EVALUATED
            | FITTED
            | RESOLVED
            | MAIN_PROFILES
            | MAIN_CLASSES
            | PART_PROFILES
            | PART_CLASSES
        ),
        parted=PARTED,
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        orders=STUDY.orders,
        analysis=CONFIG.analysis.model_dump(),
        seed=CONFIG.seed,
        source=source_of("analyse"),
    script:
        "../workflow/scripts/analyse.py"
