#: What the folders are about whose files the report reads besides those of the analysis.
EXTRACTED = of_texts("extract_calibration")
COMPARED = of_texts("check_overlap")
CLASSIFIED = classifications(STUDY.classified)
PROFILED = profiles(STUDY.profiled)
SAMPLED = profiles(STUDY.profiled, "profile_sample")
TRAINED = STUDY.trained
SPREAD = of_models("power_law")


rule build_report:
    input:
        tables=rules.analyse.output.tables,
        corpora=in_folders(EXTRACTED, "extract_calibration", "corpus"),
        text_overlaps=in_folders(COMPARED, "check_overlap", "overlap"),
        models=in_folders(RESOLVED, "resolve_model", "model"),
        classifications=in_folders(CLASSIFIED, "classify", "summary"),
        layers=in_folders(PROFILED, "merge_profile", "layers"),
        cett_curves=in_folders(SAMPLED, "profile_sample", "cett_curve"),
        training=in_folders(TRAINED, "fit_with_model", "training"),
        spreads=in_folders(SPREAD, "power_law", "power_law"),
        ranked=in_folders(SPREAD, "power_law", "ranked"),
        overlaps=in_folders(SPREAD, "power_law", "hot_overlaps"),
    output:
        page=report(
            path("build_report", "page"),
            caption="../workflow/report/page.rst",
            category="Page",
        ),
        sentences=report(
            path("build_report", "sentences"),
            caption="../workflow/report/finding.rst",
            category="Finding",
        ),
        pictures=report(
            [path("build_report", figure.svg_file) for figure in figures() if figure.as_svg],
            caption="../workflow/report/figure.rst",
            category="Figures",
        ),
        specs=[path("build_report", figure.spec_file) for figure in figures()],
        files=path("build_report", "files"),
    log:
        log_of("build_report"),
    threads: 1
    resources:
        mem_mb=memory("build_report"),
        runtime=runtime("build_report"),
    params:
        study=CONFIG.study,
        folders=identified(
            EXTRACTED | COMPARED | RESOLVED | CLASSIFIED | PROFILED | SAMPLED | TRAINED | SPREAD
        ),
        orders=STUDY.orders,
        methods=STUDY.methods,
        by_steps=STUDY.by_steps,
        seed=CONFIG.seed,
        libraries=rule_source("evaluate_dense")["libraries"]
        | rule_source("analyse")["libraries"]
        | versions("python"),
        source=source_of("build_report"),
    script:
        "../workflow/scripts/build_report.py"
