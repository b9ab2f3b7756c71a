#: The folders whose files the report reads besides those of the analysis, with what they are about.
EXTRACTED = {f"{SHARED}/extract_calibration/{key}": dict(name=key) for key in CORPORA}
COMPARED = {
    STUDY.overlap_place(*pair): dict(name=STUDY.corpus_key(*pair)) for pair in STUDY.extracted
}
CLASSIFIED = classifications(STUDY.classified)
PROFILED = profiles(STUDY.profiled)
SAMPLED = {
    STUDY.profile_place(model, corpus, "profile_sample"): dict(model=model, corpus=corpus)
    for model, corpus in STUDY.profiled
}
TRAINED = STUDY.trained
SPREAD = {f"{RESULTS}/power_law/{model}": dict(model=model) for model in CONFIG.models}


rule build_report:
    input:
        tables=rules.analyse.output.tables,
        corpora=in_folders(EXTRACTED, "corpus.json"),
        text_overlaps=in_folders(COMPARED, "overlap.json"),
        models=in_folders(RESOLVED, "model.json"),
        classifications=in_folders(CLASSIFIED, "classification.json"),
        layers=in_folders(PROFILED, "layers.parquet"),
        cett_curves=in_folders(SAMPLED, "cett_curve.parquet"),
        training=in_folders(TRAINED, "training.parquet"),
        spreads=in_folders(SPREAD, "power_law.parquet"),
        ranked=in_folders(SPREAD, "ranked.parquet"),
        overlaps=in_folders(SPREAD, "hot_overlaps.parquet"),
    output:
        page=report(
            f"{RESULTS}/report/index.html",
            caption="../workflow/report/page.rst",
            category="Page",
        ),
        sentences=report(
            f"{RESULTS}/report/finding.txt",
            caption="../workflow/report/finding.rst",
            category="Finding",
        ),
        pictures=report(
            [f"{RESULTS}/report/{figure.svg_file}" for figure in figures() if figure.as_svg],
            caption="../workflow/report/figure.rst",
            category="Figures",
        ),
        specs=[f"{RESULTS}/report/{figure.spec_file}" for figure in figures()],
        files=f"{RESULTS}/report/{REPORT_FILES}",
    log:
        f"{LOGS}/{CONFIG.study}/build_report.log",
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
