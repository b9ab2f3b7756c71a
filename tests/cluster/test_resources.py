"""What a job asks a cluster for, as Snakemake plans it."""

import re

import pytest

pytestmark = pytest.mark.workflow


def asked_for(study):
    """Resources of each rule's jobs, from a dry run."""
    text = study.run("--dry-run", "--quiet", "host")
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n?)*)", text, re.M)
    asked = {
        rule: dict(re.findall(r"(\w+)=([^,\s]+)", body.partition("resources:")[2]))
        for rule, body in jobs
    }
    asked.pop("all")
    return asked


def test_every_job_has_a_memory_and_a_time(fresh):
    planned = asked_for(fresh)
    assert len(planned) == 10
    for rule, resources in planned.items():
        assert int(resources["mem_mb"]) >= 1000, rule
        assert int(resources["runtime"]) >= 10, rule


def test_jobs_that_run_a_model_ask_for_its_gpu(fresh):
    on_cpu = asked_for(fresh)
    fresh.edit("configs/tiny.yaml", "device: cpu", "device: cuda")
    on_gpu = asked_for(fresh)
    using = {rule for rule, resources in on_gpu.items() if resources.get("gpu") == "1"}
    assert using == {"profile_shard", "evaluate", "evaluate_dense"}
    assert "1" not in {resources.get("gpu") for resources in on_cpu.values()}
