rule fit:
    input:
        neurons=profile_of("neurons"),
        classes=classes_of,
    output:
        plan=f"{RESULTS}/fit/{PLAN}/plan.json",
        arrays=f"{RESULTS}/fit/{PLAN}/plan.safetensors",
    log:
        f"{LOGS}/{CONFIG.study}/fit/{PLAN}.log",
    benchmark:
        f"{TIMING}/{CONFIG.study}/fit/{PLAN}.tsv"
    threads: 1
    resources:
        mem_mb=memory(1000),
        runtime=runtime(10),
    params:
        sparsifier=lambda w: CONFIG.methods[w.method].sparsifier,
        scope=lambda w: CONFIG.methods[w.method].scope,
        value=lambda w: STUDY.level(w.method, w.level),
        source=lambda w: STUDY.source("fit", method=w.method),
    script:
        "../workflow/scripts/fit.py"
