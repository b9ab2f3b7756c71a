rule fit:
    input:
        unpack(ranking_of),
    output:
        plan=f"{RESULTS}/fit/{PLAN}/plan.json",
        arrays=f"{RESULTS}/fit/{PLAN}/plan.safetensors",
    log:
        f"{LOGS}/{CONFIG.study}/fit/{PLAN}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/fit/{PLAN}.tsv"
    threads: 1
    resources:
        mem_mb=at_most(cost.asked_megabytes, "fit"),
        runtime=at_most(cost.asked_minutes, "fit"),
    params:
        config=fixed(lambda w: STUDY.fitting(w.method, w.level)),
        source=source_of("fit", method="method"),
    script:
        "../workflow/scripts/fit.py"
