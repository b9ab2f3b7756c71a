rule build_report:
    input:
        tables=rules.analyse.output.tables,
        finding=rules.analyse.output.finding,
        models=rules.analyse.input.models,
        corpora=[f"{SHARED}/extract_calibration/{key}/corpus.json" for key in CORPORA],
        classifications=[
            f"{RESULTS}/classify/{'/'.join(names)}/classification.json"
            for names in STUDY.classified
        ],
    output:
        page=report(
            f"{RESULTS}/report/index.html",
            caption="../workflow/report/page.rst",
            category="Page",
        ),
        figure=report(
            f"{RESULTS}/report/accuracy-lost.svg",
            caption="../workflow/report/figure.rst",
            category="Figures",
        ),
        specs=[
            f"{RESULTS}/report/accuracy-lost.vl.json",
            f"{RESULTS}/report/accuracy-lost-by-task.vl.json",
            f"{RESULTS}/report/accuracy-lost-by-part.vl.json",
        ],
    log:
        f"{LOGS}/{CONFIG.study}/build_report.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/build_report.tsv"
    threads: 1
    resources:
        mem_mb=memory("build_report"),
        runtime=runtime("build_report"),
    params:
        study=CONFIG.study,
        seed=CONFIG.seed,
        libraries=rule_source("evaluate_dense")["libraries"] | rule_source("analyse")["libraries"],
        source=source_of("build_report"),
    script:
        "../workflow/scripts/build_report.py"
