rule extract_shard:
    input:
        record=model_of,
    output:
        **outputs("extract_shard"),
    log:
        log_of("extract_shard"),
    threads: 1
    resources:
        mem_mb=memory("extract_shard"),
        runtime=runtime("extract_shard"),
    params:
        model=lambda w: STUDY.section("models", CORPORA[w.corpus_key][0]),
        config=lambda w: STUDY.text(CORPORA[w.corpus_key][1]),
        source=source_of("extract_shard"),
    script:
        "../workflow/scripts/extract_shard.py"


rule extract_calibration:
    input:
        record=model_of,
        document_shards=document_shards,
    output:
        **outputs("extract_calibration"),
    log:
        log_of("extract_calibration"),
    threads: 1
    resources:
        mem_mb=memory("extract_calibration"),
        runtime=runtime("extract_calibration"),
    params:
        model=lambda w: STUDY.section("models", CORPORA[w.corpus_key][0]),
        config=lambda w: STUDY.text(CORPORA[w.corpus_key][1]),
        source=source_of("extract_calibration"),
    script:
        "../workflow/scripts/extract_calibration.py"


rule check_overlap:
    input:
        texts=path("extract_calibration", "texts"),
    output:
        **outputs("check_overlap"),
    log:
        log_of("check_overlap"),
    threads: 1
    resources:
        mem_mb=memory("check_overlap"),
        runtime=runtime("check_overlap"),
    params:
        config=lambda w: STUDY.overlap(CORPORA[w.corpus_key][1]),
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        source=source_of("check_overlap"),
    script:
        "../workflow/scripts/check_overlap.py"


rule clear_tasks:
    input:
        overlap_checks=overlap_checks,
    output:
        **outputs("clear_tasks"),
    log:
        log_of("clear_tasks"),
    threads: 1
    resources:
        mem_mb=memory("clear_tasks"),
        runtime=runtime("clear_tasks"),
    params:
        tasks=as_it_is(STUDY.evaluation()["tasks"]),
        source=source_of("clear_tasks"),
    script:
        "../workflow/scripts/clear_tasks.py"
