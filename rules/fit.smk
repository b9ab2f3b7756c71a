rule fit:
    input:
        unpack(ranking_of),
    output:
        **outputs("fit"),
    log:
        log_of("fit"),
    wildcard_constraints:
        method=names(filter(STUDY.by_tables, CONFIG.methods)),
    threads: 1
    resources:
        mem_mb=at_most(cost.asked_megabytes, "fit"),
        runtime=at_most(cost.asked_minutes, "fit"),
    params:
        config=fixed(lambda w: STUDY.fitting(w.method, w.level)),
        source=source_of("fit"),
    script:
        "../workflow/scripts/fit.py"


rule prepare:
    input:
        unpack(evidence_of),
    output:
        **outputs("prepare"),
    log:
        log_of("prepare"),
    wildcard_constraints:
        method=names(filter(STUDY.prepares, CONFIG.methods)),
    threads: 1
    resources:
        mem_mb=memory("prepare"),
        runtime=runtime("prepare"),
        gpu=GPUS,
    params:
        model=lambda w: STUDY.section("models", w.model),
        config=lambda w: STUDY.preparing(w.method),
        profile=PROFILE,
        source=source_of("prepare"),
    script:
        "../workflow/scripts/prepare.py"


rule fit_with_model:
    input:
        unpack(evidence_of),
        activity=activity_of,
        prepared=prepared_of,
        text=text_of,
    output:
        **outputs("fit_with_model"),
    log:
        log_of("fit_with_model"),
    wildcard_constraints:
        method=names(name for name in CONFIG.methods if not STUDY.by_tables(name)),
    threads: 1
    resources:
        mem_mb=memory("fit_with_model"),
        runtime=runtime("fit_with_model"),
        gpu=GPUS,
    params:
        model=fixed(lambda w: STUDY.section("models", w.model)),
        config=fixed(lambda w: STUDY.fitting(w.method, w.level)),
        profile=PROFILE,
        source=source_of("fit_with_model"),
    script:
        "../workflow/scripts/fit_with_model.py"
