#: What the folders are about whose files the analysis reads.
EVALUATED = evaluated_conditions()
FITTED = {STUDY.condition_place("fit", c): asdict(c) for c in STUDY.conditions}
RESOLVED = of_models("resolve_model")
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
        samples=in_folders(EVALUATED, "evaluate", "samples"),
        sparsity=in_folders(EVALUATED, "evaluate", "sparsity"),
        plans=in_folders(FITTED, "fit", "plan"),
        models=in_folders(RESOLVED, "resolve_model", "model"),
        layers=in_folders(MAIN_PROFILES, "merge_profile", "layers"),
        classifications=in_folders(MAIN_CLASSES, "classify", "summary"),
        part_neurons=in_folders(PART_PROFILES, "merge_profile", "neurons"),
        part_classes=in_folders(PART_CLASSES, "classify", "classes"),
    output:
        tables=list(outputs("analyse").values()),
    log:
        log_of("analyse"),
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
