"""A study's jobs and their work, worked out by hand."""

import pytest

from pipeline.config.models import Model
from pipeline.models import size as sizes
from pipeline.models.resolve import resolve
from pipeline.models.size import Size
from pipeline.planning.jobs import UNKNOWN, job_like, jobs_of, read_jobs, size_of, write_jobs
from pipeline.planning.stages import STAGES
from pipeline.tables.model import MODEL

SIZE = Size(parameters=1000, layers=2, width=20, vocabulary=50, d_model=8, cache=16)


def by_rule(study, size=SIZE):
    return {job.rule: job for job in jobs_of(study, {"backbone": size})}


def test_there_is_one_job_for_every_folder_and_its_files_are_known(small):
    study = small()
    jobs = jobs_of(study, {"backbone": SIZE})
    assert sorted(job.folder for job in jobs) == sorted(study.folders)
    assert {job.rule for job in jobs} <= set(STAGES)
    fit = next(job for job in jobs if job.rule == "fit")
    place = "small/fit/backbone/drop_cold/0.25/0"
    assert fit.files == (f"results/{place}/plan.json", f"results/{place}/plan.safetensors")
    assert str(fit.timing) == f"results/timing/{place}.tsv"
    assert str(fit.log) == f"results/logs/{place}.log"
    assert str(by_rule(study)["build_report"].log) == "results/logs/small/build_report.log"


def test_work_by_hand(small):
    jobs = by_rule(small())
    # 1000 tokens in sequences of 64 are 15.6, in blocks of 8 that is 2 blocks; two shards.
    shard = jobs["profile_shard"]
    assert shard.tokens == 500 and shard.flops == 2 * 1000 * 500
    sample = jobs["profile_sample"]
    assert sample.tokens == 512 and sample.flops == 2.5 * 2 * 1000 * 512
    assert shard.rows == 40 * 2 / 2 and shard.weight_bytes == 4000
    assert jobs["merge_profile"].rows == 80
    assert jobs["extract_calibration"].tokens == 1000
    assert jobs["evaluate"].rows == 8
    assert jobs["fit"].rows == 40
    assert jobs["analyse"].tokens == 3 * 8


TEAL = {
    "sparsifier": {"name": "teal", "allocation": "greedy"}, "corpus": "reasoning", "levels": [0.5],
    "measure": "model_weight_sparsity",
}  # fmt: skip
SPON = {"name": "spon", "steps": 10, "batch": 2}


def test_fitting_with_the_model_measures_on_text_and_trains_on_it(small):
    """1000 tokens in sequences of 64, measured about ten times to meet a level; ten steps of two
    sequences, at four passes each."""
    asked = by_rule(small(methods={"teal": TEAL}))
    assert asked["fit_with_model"].tokens == 10_000
    assert asked["fit_with_model"].flops == 2 * 1000 * 10_000
    assert asked["fit_with_model"].weight_bytes == 4000
    job = by_rule(small(methods={"teal": {**TEAL, "compensation": SPON}}))["fit_with_model"]
    assert job.tokens == 10_000 + 10 * 2 * 64
    assert job.flops == 2 * 1000 * (10_000 + 4 * 1280)
    assert job.weight_bytes == 3 * 4000
    own = by_rule(small(methods={"teal": {**TEAL, "measure": None}}))["fit_with_model"]
    assert own.tokens == 2000
    assert str(job.log) == "results/logs/small/fit/backbone/teal/0.5/0.log"


def test_what_levels_share_is_counted_where_it_is_done(small):
    """Seven matrices in forty steps of blocks of 1024 tokens, once for all levels; training, with
    the original model beside the one that is trained and its gradients, for each."""
    jobs = by_rule(small(methods={"teal": {**TEAL, "compensation": SPON}}))
    assert jobs["prepare"].tokens == 10_000 + 7 * 40 * 1024
    assert jobs["prepare"].flops == 2 * 1000 * jobs["prepare"].tokens
    assert jobs["prepare"].weight_bytes == 4000
    assert jobs["fit_with_model"].tokens == 10_000 + 10 * 2 * 64


def test_parts_say_what_fitting_them_takes(small):
    """Wanda reads its text twice, of at most 131,072 tokens; a mean bias reads all of it once and
    needs three models in memory; a predictor reads a sample."""
    plain = {"corpus": "reasoning", "levels": [0.5]}
    wanda = by_rule(small(methods={"m": {**plain, "weights": "wanda"}}))["fit_with_model"]
    assert wanda.tokens == 2 * 1000 + 2 * 131_072
    assert wanda.weight_bytes == 4000
    sparse = {**plain, "sparsifier": {"name": "teal", "allocation": "uniform"}}
    job = by_rule(small(methods={"m": {**sparse, "compensation": "mean_bias"}}))["fit_with_model"]
    assert job.tokens == 2 * 1000 + 1000
    assert job.flops == 2 * 1000 * 3000 and job.weight_bytes == 3 * 4000


def test_half_the_items_are_half_the_work_and_so_is_half_a_shard(small):
    whole = by_rule(small())["evaluate"]
    assert by_rule(small(), Size(3000, 2, 20, 50, 8, 16))["evaluate"].flops == 3 * whole.flops
    half = by_rule(small(evaluation={"shards": 2}))["evaluate_shard"]
    assert half.rows == whole.rows / 2
    assert half.tokens == pytest.approx(whole.tokens / 2)


def test_a_divided_stage_is_its_shards_and_a_merging_that_runs_no_model(small):
    whole = by_rule(small())
    divided = jobs_of(
        small(evaluation={"shards": 3}, calibration=in_shards(small, 2)), {"backbone": SIZE}
    )
    for rule in ("evaluate_dense", "extract_calibration"):
        shards = [j for j in divided if j.rule == f"{rule.removesuffix('_calibration')}_shard"]
        (merging,) = [job for job in divided if job.rule == rule]
        assert merging.merges and not merging.tokens and not merging.weight_bytes
        assert sum(job.tokens for job in shards) == pytest.approx(whole[rule].tokens)
        assert sum(job.flops for job in shards) == pytest.approx(whole[rule].flops)


def in_shards(small, number):
    section = small().config.calibration["reasoning"].model_dump() | {"shards": number}
    return {"reasoning": section}


def test_a_job_stands_for_others_of_its_model_and_corpus(small):
    section = small().config.calibration["reasoning"].model_dump()
    other = {"reasoning": section, "prose": section | {"source": "builtin:prose", "tokens": 9000}}
    method = small().config.methods["drop_cold"].model_dump()
    study = small(calibration=other, methods={"second": method | {"corpus": "prose"}})
    tokens = {
        corpus: job_like(study, "profile_shard", "backbone", corpus, {"backbone": SIZE}).tokens
        for corpus in ("reasoning", "prose")
    }
    assert tokens == {"reasoning": 500, "prose": 4500}
    assert job_like(study, "evaluate", "backbone", None, {"backbone": SIZE}).rows == 8
    assert job_like(study, "analyse", "", None, {"backbone": SIZE}).rule == "analyse"


def test_a_choice_is_asked_once_for_each_of_its_choices(small):
    chosen = by_rule(small(evaluation={"tasks": ["boolean_choice"]}))["evaluate"]
    asked = by_rule(small(evaluation={"tasks": ["prose"]}))["evaluate"]
    assert chosen.tokens > 0 and asked.tokens > 0 and chosen.rows == asked.rows == 4


def test_a_model_of_unknown_size_counts_as_a_large_one(small):
    jobs = {job.rule: job for job in jobs_of(small(), {"backbone": None})}
    assert jobs["fit"].rows == UNKNOWN.neurons


def test_jobs_are_read_back_as_they_were_written(small, tmp_path):
    jobs = jobs_of(small(), {"backbone": SIZE})
    path = tmp_path / "jobs.json"
    write_jobs(path, "small", jobs)
    assert sorted(read_jobs(path), key=str) == sorted(jobs, key=str)
    written = path.read_bytes()
    write_jobs(path, "small", jobs)
    assert path.read_bytes() == written


def test_a_hub_models_size_comes_from_its_record_once_it_is_resolved(small, tmp_path, manifest):
    study = small(models={"backbone": {"source": "someone/some-model"}})
    assert size_of(study, "backbone", tmp_path) is None
    record = resolve("ref-reglu", Model(source="builtin:ref-reglu"))
    path = tmp_path / f"results/shared/resolve_model/{study.model_key('backbone')}/model.json"
    MODEL.write(path, record, manifest)
    assert size_of(study, "backbone", tmp_path) == sizes.of_record(record)


def test_jobs_that_are_the_same_are_not_written_again(small, tmp_path):
    path, jobs = tmp_path / "jobs.json", jobs_of(study := small(), {"backbone": None})
    write_jobs(path, study.config.study, jobs)
    before = path.stat().st_ino
    write_jobs(path, study.config.study, jobs)
    assert path.stat().st_ino == before
    write_jobs(path, study.config.study, jobs[1:])
    assert path.stat().st_ino != before and len(read_jobs(path)) == len(jobs) - 1
    path.write_text("{")
    write_jobs(path, study.config.study, jobs)
    assert len(read_jobs(path)) == len(jobs)
