rule extract_calibration:
    input:
        record=model_of,
    output:
        sequences=f"{SHARED}/extract_calibration/{{corpus_key}}/sequences.parquet",
        corpus=f"{SHARED}/extract_calibration/{{corpus_key}}/corpus.json",
    log:
        f"{LOGS}/shared/extract_calibration/{{corpus_key}}.log",
    benchmark:
        f"{TIMING}/shared/extract_calibration/{{corpus_key}}.tsv"
    threads: 1
    resources:
        mem_mb=memory(2000),
        runtime=runtime(30),
    params:
        model=lambda w: STUDY.section("models", CORPORA[w.corpus_key][0]),
        config=lambda w: STUDY.section("calibration", CORPORA[w.corpus_key][1]),
        tasks=STUDY.evaluation()["tasks"],
        source=lambda w: STUDY.source("extract_calibration", corpus=CORPORA[w.corpus_key][1]),
    script:
        "../workflow/scripts/extract_calibration.py"
