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
        layers=[
            f"{SHARED}/merge_profile/{STUDY.profile_key(*pair)}/layers.parquet"
            for pair in STUDY.profiled
        ],
        spreads=[f"{RESULTS}/power_law/{model}/power_law.parquet" for model in CONFIG.models],
        ranked=[f"{RESULTS}/power_law/{model}/ranked.parquet" for model in CONFIG.models],
        overlaps=[f"{RESULTS}/power_law/{model}/hot_overlaps.parquet" for model in CONFIG.models],
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
            f"{RESULTS}/report/right-by-steps.vl.json",
            f"{RESULTS}/report/accuracy-lost-by-measure.vl.json",
            f"{RESULTS}/report/natural-sparsity.vl.json",
            f"{RESULTS}/report/activations-by-rank.vl.json",
            f"{RESULTS}/report/activation-frequency.vl.json",
            f"{RESULTS}/report/hot-sets-shared.vl.json",
        ],
        files=f"{RESULTS}/report/{REPORT_FILES}",
    log:
        f"{LOGS}/{CONFIG.study}/build_report.log",
    threads: 1
    resources:
        mem_mb=memory("build_report"),
        runtime=runtime("build_report"),
    params:
        study=CONFIG.study,
        profiled=STUDY.profiled,
        methods=STUDY.methods,
        steps_of=STUDY.by_steps,
        seed=CONFIG.seed,
        libraries=rule_source("evaluate_dense")["libraries"]
        | rule_source("analyse")["libraries"]
        | versions("python"),
        source=source_of("build_report"),
    script:
        "../workflow/scripts/build_report.py"
