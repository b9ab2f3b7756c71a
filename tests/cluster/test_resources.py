"""What a job asks a cluster for, as Snakemake plans it."""

import re

import pytest

from tests.finished import shipped

pytestmark = pytest.mark.workflow


def asked_for(study, config="configs/tiny.yaml"):
    """Resources of each rule's jobs, from a dry run."""
    text = study.run("--dry-run", "--quiet", "host", config=config)
    jobs = re.findall(r"^rule (\w+):\n((?:    .*\n?)*)", text, re.M)
    asked = {
        rule: dict(re.findall(r"(\w+)=([^,\s]+)", body.partition("resources:")[2]))
        for rule, body in jobs
    }
    asked.pop("all")
    return asked


def test_every_job_has_a_memory_and_a_time(fresh):
    planned = asked_for(fresh)
    assert set(planned) == {folder.rule for folder in shipped("configs/tiny.yaml").folders.values()}
    for rule, resources in planned.items():
        assert int(resources["mem_mb"]) >= 500, rule
        assert int(resources["runtime"]) >= 10, rule


def test_memory_and_time_follow_the_models_size_and_type(fresh, save_model):
    """A model of about a hundred times as many parameters, in a folder of its own."""
    folder = save_model(fresh.folder / "wide", hidden_size=1536, intermediate_size=8192,
                        num_attention_heads=4, num_key_value_heads=4)  # fmt: skip
    weights = (folder / "model.safetensors").stat().st_size / 1e6
    asked = {}
    for dtype in ("float32", "bfloat16"):
        text = (fresh.folder / "configs/tiny.yaml").read_text()
        text = text.replace("builtin:ref-reglu", str(folder))
        (fresh.folder / "configs/wide.yaml").write_text(text)
        fresh.configure("models.ref-reglu.dtype", dtype, "configs/wide.yaml")
        asked[dtype] = asked_for(fresh, "configs/wide.yaml")
    small = asked_for(fresh)
    more = {rule: int(r["mem_mb"]) - int(small[rule]["mem_mb"])
            for rule, r in asked["float32"].items()}  # fmt: skip
    assert more["evaluate"] > weights and more["profile_shard"] > weights
    assert abs(more["analyse"]) < 1
    half = int(asked["bfloat16"]["evaluate"]["mem_mb"])
    assert int(asked["float32"]["evaluate"]["mem_mb"]) - half > weights / 2
    times = [int(resources["evaluate"]["runtime"]) for resources in (small, asked["float32"])]
    assert times[0] < times[1]


def test_jobs_that_run_a_model_ask_for_its_gpu(fresh):
    on_cpu = asked_for(fresh)
    fresh.configure("models.ref-reglu.device", "cuda")
    on_gpu = asked_for(fresh)
    using = {rule for rule, resources in on_gpu.items() if resources.get("gpu") == "1"}
    assert using == {"profile_sample", "profile_shard", "evaluate", "evaluate_dense"}
    assert "1" not in {resources.get("gpu") for resources in on_cpu.values()}
