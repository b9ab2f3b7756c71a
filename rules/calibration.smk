rule extract_shard:
    input:
        record=model_of,
    output:
        documents=f"{SHARED}/extract_shard/{{corpus_key}}/{{shard}}-of-{{shards}}/documents.parquet",
    log:
        f"{LOGS}/shared/extract_shard/{{corpus_key}}/{{shard}}-of-{{shards}}.log",
    threads: 1
    resources:
        mem_mb=memory("extract_shard"),
        runtime=runtime("extract_shard"),
    params:
        model=lambda w: STUDY.section("models", CORPORA[w.corpus_key][0]),
        config=lambda w: undivided(STUDY.section("calibration", CORPORA[w.corpus_key][1])),
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        source=source_of("extract_shard", corpus="corpus_key"),
    script:
        "../workflow/scripts/extract_shard.py"


rule extract_calibration:
    input:
        record=model_of,
        document_shards=lambda w: if_divided(
            f"{SHARED}/extract_shard/{w.corpus_key}",
            "documents",
            CONFIG.calibration[CORPORA[w.corpus_key][1]].shards,
        ),
    output:
        sequences=f"{SHARED}/extract_calibration/{{corpus_key}}/sequences.parquet",
        corpus=f"{SHARED}/extract_calibration/{{corpus_key}}/corpus.json",
    log:
        f"{LOGS}/shared/extract_calibration/{{corpus_key}}.log",
    threads: 1
    resources:
        mem_mb=memory("extract_calibration"),
        runtime=runtime("extract_calibration"),
    params:
        model=lambda w: STUDY.section("models", CORPORA[w.corpus_key][0]),
        config=lambda w: undivided(STUDY.section("calibration", CORPORA[w.corpus_key][1])),
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        source=source_of("extract_calibration", corpus="corpus_key"),
    script:
        "../workflow/scripts/extract_calibration.py"
