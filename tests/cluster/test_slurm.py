"""A study on a real Slurm cluster: the bytes of a local run, whatever befalls jobs and nodes."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.workflow

# Jobs here take seconds, so the plugin is to ask soon; it waits 10 s longer after each time that
# found no job ended.
COMMAND = ("--profile", "slurm", "--slurm-init-seconds-before-status-checks", "8")


@pytest.fixture
def study(fresh, cluster):
    """A copy that has run nothing, and that runs on the cluster."""
    fresh.variables.update(cluster.environment)
    return fresh


@pytest.fixture
def begun(study, finished):
    """A function: which conditions to lose -> a copy of the finished study without them."""

    def lose(*conditions):
        shutil.copytree(finished.work, study.work, dirs_exist_ok=True, copy_function=shutil.copy2)
        for condition in conditions:
            shutil.rmtree(study.work / "results/tiny/evaluate/ref-reglu" / condition)
            log_of(study, condition).unlink()
        return study

    return lose


@contextlib.contextmanager
def started(study, *arguments):
    """A launcher at work; ended with the block if it still runs then."""
    with open(study.work / "out.log", "w") as log:
        process = subprocess.Popen(
            study.command(*COMMAND, *arguments),
            env=study.environment, cwd=study.work, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def log_of(study, condition):
    """An evaluation's own log, which its script begins with."""
    return study.work / "results/logs/tiny/evaluate/ref-reglu" / condition / "0.log"


def said(study):
    return (study.work / "out.log").read_text()


def wait_for(seconds, what, condition):
    """What `condition` returns, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"no {what} within {seconds} s"
        time.sleep(0.2)
    return found


def evaluations(cluster, seen, states="all"):
    """Evaluation jobs that were not in the queue before, first submitted first."""
    jobs = [job for job in cluster.jobs(states) if "evaluate" in job["comment"]]
    return sorted((job for job in jobs if job["id"] not in seen), key=lambda job: int(job["id"]))


@pytest.fixture
def seen(cluster):
    """Ids of jobs of earlier tests."""
    return {job["id"] for job in cluster.jobs()}


def test_an_undisturbed_study_has_the_bytes_of_a_local_run(study, finished, cluster, seen):
    study.run(*COMMAND)
    assert study.artifacts() == finished.artifacts()
    jobs = [job for job in cluster.jobs() if job["id"] not in seen]
    assert {job["state"] for job in jobs} == {"COMPLETED"}
    assert study.planned() == {}


def test_a_cancelled_job_is_submitted_again_and_a_daemon_that_comes_back_loses_none(
    begun, finished, cluster, seen
):
    study = begun("drop_cold/cold", "keep_cold/hot")
    with started(study) as launcher:
        for condition in ("drop_cold/cold", "keep_cold/hot"):
            wait_for(120, "running script", log_of(study, condition).exists)
        one, other = evaluations(cluster, seen, "RUNNING")
        cluster.ask("scancel", one["id"])
        cluster.kill_node(other["node"])
        cluster.start_node(other["node"])
        assert launcher.wait(300) == 0, said(study)
    first, kept, second = evaluations(cluster, seen)
    assert [job["state"] for job in (first, kept, second)] == [
        "CANCELLED",
        "COMPLETED",
        "COMPLETED",
    ]
    assert kept["id"] == other["id"]
    assert int(second["memory"][:-1]) == 2 * int(first["memory"][:-1])
    assert (first["time"], second["time"]) == ("10:00", "20:00")
    assert study.artifacts() == finished.artifacts()


def test_a_dead_nodes_job_goes_on_at_the_other_node(begun, finished, cluster, seen):
    study = begun("drop_cold/cold")
    with started(study) as launcher:
        wait_for(120, "running script", log_of(study, "drop_cold/cold").exists)
        (job,) = evaluations(cluster, seen, "RUNNING")
        cluster.kill_node(job["node"], job["id"])
        try:
            assert launcher.wait(300) == 0, said(study)
        finally:
            cluster.start_node(job["node"])
    last = evaluations(cluster, seen)[-1]
    assert last["state"] == "COMPLETED"
    assert last["node"] != job["node"]
    assert study.artifacts() == finished.artifacts()


def test_a_job_over_its_memory_is_killed_and_passes_with_more_on_the_gpu_it_asks_for(
    begun, finished, cluster, seen
):
    study = begun("drop_cold/cold")
    resources = ("evaluate:mem_mb=400 * attempt", "evaluate:gpu=1")
    with started(study, "--set-resources", *resources) as launcher:
        assert launcher.wait(300) == 0, said(study)
    first, *_, last = evaluations(cluster, seen)
    assert (first["memory"], last["state"]) == ("400M", "COMPLETED")
    (log,) = study.work.glob(f".snakemake/slurm_logs/rule_evaluate/*/{first['id']}.log")
    assert re.search(r"exceeded (job )?memory limit", log.read_text(), re.I)
    assert "TresPerJob=gres:gpu:1" in cluster.ask("scontrol", "show", "job", last["id"])
    assert study.artifacts() == finished.artifacts()


def test_a_launcher_after_a_killed_one_clears_the_queue_and_finishes(
    begun, finished, cluster, seen
):
    lost = ("drop_cold/cold", "keep_cold/hot", "one_decile/5", "one_decile/10")
    study = begun(*lost)
    with started(study) as launcher:
        wait_for(
            120, "running and pending jobs",
            lambda: (
                evaluations(cluster, seen, "RUNNING") and evaluations(cluster, seen, "PENDING")
            ),
        )  # fmt: skip
        os.kill(launcher.pid, signal.SIGKILL)
    orphans = evaluations(cluster, seen)
    assert len(orphans) <= len(lost)
    text = study.run(*COMMAND)
    assert "cancelling pending jobs that an interrupted run left" in text
    assert "waiting for running jobs that an interrupted run left" in text
    jobs = evaluations(cluster, seen)
    states = {job["id"]: job["state"] for job in jobs}
    assert {states[job["id"]] for job in orphans} == {"COMPLETED", "CANCELLED"}
    completed = [job["comment"] for job in jobs if job["state"] == "COMPLETED"]
    assert len(completed) == len(set(completed)) == len(lost)
    assert study.artifacts() == finished.artifacts()
