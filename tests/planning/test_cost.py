"""Estimates: how they grow, and how past jobs scale them."""

import dataclasses
import json

import pytest

from pipeline.planning import cost
from pipeline.planning.cost import Past, Scale, asked_megabytes, asked_minutes, memory_megabytes
from pipeline.planning.jobs import Job
from pipeline.planning.stages import STAGES
from pipeline.store.artifacts import write_json

SPEED = 1e10


def job(rule="evaluate", **changes):
    facts = {"tokens": 1000.0, "flops": 2e9, "rows": 50.0, "weight_bytes": 4_000_000}
    return Job(rule, f"results/x/{rule}/y", **{**facts, **changes})


def past(seconds, kept=5000, **changes):
    return Past(job(**changes), seconds, 500.0, kept)


def test_every_rule_of_a_study_has_its_constants():
    assert set(cost.constants()) == set(STAGES)
    assert all(value >= 0 for rule in cost.constants().values() for value in rule.values())


def test_modelled_seconds_by_hand(monkeypatch):
    rule = {"start": 4.0, "token": 0.002, "row": 0.01, "bytes_a_row": 80}
    monkeypatch.setattr(cost, "constants", lambda: {"evaluate": rule})
    # 4 + 1000 * 0.002 + 50 * 0.01 + 2e9 / (0.9 * 1e10)
    assert cost.modelled_seconds(job(), SPEED) == pytest.approx(4 + 2 + 0.5 + 2 / 9)


def test_with_nothing_past_the_constants_stand():
    assert Scale([], SPEED).seconds(job()) == cost.modelled_seconds(job(), SPEED)
    assert Scale([], SPEED).bytes(job()) == 50 * cost.constants()["evaluate"]["bytes_a_row"]


def test_past_jobs_of_the_rule_scale_it_and_the_sum_is_met():
    runs = [past(30.0), past(60.0, tokens=4000.0), past(12.0, rows=500.0)]
    scale = Scale(runs, SPEED)
    assert sum(scale.seconds(run.job) for run in runs) == pytest.approx(102)
    twice = Scale([past(2 * run.seconds, tokens=run.job.tokens, rows=run.job.rows)
                   for run in runs], SPEED)  # fmt: skip
    assert twice.seconds(job()) == pytest.approx(2 * scale.seconds(job()))


def test_a_rule_that_never_ran_takes_the_others_factor_and_a_device_none():
    scale = Scale([past(3 * cost.modelled_seconds(job(), SPEED))], SPEED)
    fit = job("fit")
    assert scale.seconds(fit) == pytest.approx(3 * cost.modelled_seconds(fit, SPEED))
    on_gpu = job(device="cuda:1")
    assert scale.seconds(on_gpu) == cost.modelled_seconds(on_gpu, SPEED)


def test_bytes_are_those_of_past_jobs_a_row():
    scale = Scale([past(1.0, kept=5000), past(1.0, kept=7000)], SPEED)
    assert scale.bytes(job(rows=200.0)) == pytest.approx(200 * 12000 / 100)


def test_memory_grows_with_the_weights_and_with_each_attempt():
    large = job(weight_bytes=16_000_000_000)
    assert memory_megabytes(large) - memory_megabytes(job()) == pytest.approx(15996, rel=1e-6)
    asked = [asked_megabytes(large, attempt) for attempt in (1, 2, 3)]
    assert memory_megabytes(large) < asked[0] < asked[1] < asked[2]
    assert asked_minutes(large, 1) < asked_minutes(large, 2)


def test_a_job_that_has_run_is_known_from_its_timing_and_artifacts(tmp_path):
    fit = Job("fit", "results/s/fit/m/drop/0.5/0", rows=40)
    assert cost.past_job(fit, tmp_path) is None
    (tmp_path / fit.folder).mkdir(parents=True)
    (tmp_path / fit.files[0]).write_bytes(b"x" * 30)  # no JSON, which is left to its reader
    (tmp_path / fit.files[1]).write_bytes(b"x" * 12)
    timing = tmp_path / fit.timing
    timing.parent.mkdir(parents=True)
    timing.write_text("s\th:m:s\tmax_rss\n0.53\t0:00:00\t180.83\n")
    assert cost.past_job(fit, tmp_path) == Past(fit, 0.53, 180.83, 42)
    timing.write_text("s\th:m:s\tmax_rss\n0.53\t0:00:00\t-\n")
    assert cost.past_job(fit, tmp_path).megabytes == 0
    timing.write_text("s\tmax_rss\n0.53\n")
    assert cost.past_job(fit, tmp_path).megabytes == 0
    for broken in ("", "s\n", "nonsense\n1\n", "max_rss\ts\n1\n"):
        timing.write_text(broken)
        assert cost.past_job(fit, tmp_path) is None


def test_a_job_that_made_another_thing_then_tells_nothing_now(tmp_path, manifest):
    fit = Job("fit", "results/s/fit/m/drop/0.5/0", identity="now", rows=40)
    timing = tmp_path / fit.timing
    timing.parent.mkdir(parents=True)
    timing.write_text("s\tmax_rss\n0.53\t180.83\n")
    for identity, known in {"now": True, "then": False, None: False}.items():
        made = dataclasses.replace(manifest, identity=identity)
        write_json(tmp_path / fit.files[0], "plan", 1, {}, made)
        assert (cost.past_job(fit, tmp_path) is not None) == known


def test_merging_shards_scales_no_undivided_job():
    merging = Past(job(merges=True, tokens=0, flops=0), 0.5, 400.0, 100)
    alone, both = Scale([past(30.0)], SPEED), Scale([past(30.0), merging], SPEED)
    assert both.seconds(job()) == alone.seconds(job())
    assert both.seconds(merging.job) == pytest.approx(0.5)


def test_the_constants_name_the_machine_they_were_measured_on():
    assert json.loads(cost.CONSTANTS.read_text())["machine"]["processor"]
