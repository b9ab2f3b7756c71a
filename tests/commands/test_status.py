"""How far a study is, from its files, its events and its lock."""

import fcntl
import json

import pytest

from pipeline.commands import words
from pipeline.commands.status import status
from pipeline.errors import UserError
from pipeline.models.size import Size
from pipeline.planning.jobs import jobs_of, read_jobs, write_jobs
from pipeline.planning.outdated import outdated
from pipeline.running import slurm
from pipeline.running.events import events_file
from pipeline.tables.jobs import jobs_file


@pytest.fixture
def started(small, tmp_path):
    """(folder, jobs by rule, a function that appends an event) of a study with all but its fits
    and evaluations made."""
    jobs = jobs_of(small(), {"backbone": Size(10, 2, 2, 5, 1, 2)})
    write_jobs(jobs_file(tmp_path, "small"), "small", jobs)
    for job in jobs:
        if job.rule not in ("fit", "evaluate", "analyse", "build_report"):
            for file in job.files:
                (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / file).touch()

    def tell(kind, time, **facts):
        path = events_file(tmp_path, "small")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a") as stream:
            stream.write(json.dumps({"event": kind, "time": time, **facts}) + "\n")

    tell("workflow_started", 100.0)
    return tmp_path, [job for job in jobs if job.rule == "fit"], tell


def begin(tell, number, job, time):
    facts = {"folder": job.folder, "log": [str(job.log)], "reason": "missing"}
    tell("job_info", time, job=number, rule=job.rule, **facts)


def test_a_study_that_was_never_started_is_refused(tmp_path):
    with pytest.raises(UserError, match="no study 'small' has been started in"):
        status("small", tmp_path, 0.0)


def test_a_stopped_study_says_what_stands_and_what_failed(started):
    folder, fits, tell = started
    begin(tell, 1, fits[0], 101)
    begin(tell, 2, fits[1], 102)
    log = folder / fits[1].log
    log.parent.mkdir(parents=True)
    log.write_text("\n".join(["one", "two", "three", "", "four", "five", "the reason"]))
    tell("job_error", 105, job=2)
    found = status("small", folder, 110.0)
    assert found.state == "failed" and found.seconds_left is None and found.running == []
    assert found.stages["fit"] == {"jobs": 2, "done": 0, "running": 0, "failed": 1}
    assert found.stages["resolve_model"]["done"] == 1
    (failed,) = found.failed
    assert failed["folder"] == fits[1].folder
    assert failed["last_lines"] == ["two", "three", "four", "five", "the reason"]
    text = words.of_status(found)
    assert "study 'small' is failed" in text and "    the reason\n" in text
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_a_running_study_says_what_runs_and_what_is_left(started):
    folder, fits, tell = started
    tell("run_info", 110, jobs={"fit": 2, "evaluate": 2, "total": 4})
    begin(tell, 1, fits[0], 110)
    begin(tell, 2, fits[1], 110)
    # Made already, and being made anew.
    for file in fits[0].files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    with open(folder / "results/.lock", "w") as held:
        held.write(json.dumps({"study": "small", "process": 1}))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        found = status("small", folder, 110.1)
        assert found.state == "running"
        assert [job["seconds"] for job in found.running] == pytest.approx([0.1, 0.1])
        assert found.stages["fit"] == {"jobs": 2, "done": 0, "running": 2, "failed": 0}
        first = found.seconds_left
        assert first > 0
        for file in fits[0].files:
            (folder / file).touch()
        tell("job_finished", 110.1, job=1)
        later = status("small", folder, 110.1)
        assert later.seconds_left < first and later.stages["fit"]["done"] == 1
    assert status("small", folder, 112.0).state == "stopped"


def test_outdated_files_are_not_done_until_they_are_made_again(started):
    """Everything is there, and the last run planned both fits anew and made one of them."""
    folder, fits, tell = started
    for job in jobs_of_study(folder):
        for file in job.files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).touch()
    assert status("small", folder, 110.0).state == "finished"
    tell("run_info", 101, jobs={"fit": 2, "total": 2})
    begin(tell, 1, fits[0], 101)
    tell("job_finished", 102, job=1)
    found = status("small", folder, 110.0)
    assert found.stages["fit"]["done"] == 1 and found.state == "stopped"
    begin(tell, 2, fits[1], 103)
    tell("job_finished", 104, job=2)
    assert status("small", folder, 110.0).state == "finished"


def test_shards_that_have_served_may_be_gone(started):
    folder, _, _ = started
    for job in jobs_of_study(folder):
        if job.rule == "profile_shard":
            for file in job.files:
                (folder / file).unlink()
    stages = status("small", folder, 110.0).stages
    assert stages["profile_shard"]["done"] == stages["profile_shard"]["jobs"] == 2


def jobs_of_study(folder):
    return read_jobs(jobs_file(folder, "small"))


def test_another_studys_run_is_not_this_ones(started):
    folder, fits, tell = started
    begin(tell, 1, fits[0], 101)
    with open(folder / "results/.lock", "w") as held:
        held.write(json.dumps({"study": "other", "process": 1}))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        found = status("small", folder, 110.0)
    assert found.state == "stopped" and found.running == []


def test_submissions_that_wait_in_the_queue_are_told_beside_what_counts_as_running(
    started, monkeypatch
):
    folder, fits, tell = started
    begin(tell, 1, fits[0], 101)
    queue = [
        slurm.QueuedJob("1", "RUNNING"),
        slurm.QueuedJob("2", "PENDING"),
        slurm.QueuedJob("3", "PENDING"),
    ]
    monkeypatch.setattr(slurm, "jobs_of", lambda directory: queue)
    with open(folder / "results/.lock", "w") as held:
        held.write(json.dumps({"study": "small", "process": 1}))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        found = status("small", folder, 110.0)
    assert found.pending == 2
    assert "2 submissions wait in Slurm's queue" in words.of_status(found)
    assert status("small", folder, 110.0).pending == 0


def test_a_configuration_that_has_changed_since_is_told(started):
    folder, _, _ = started
    configured = {job.folder: job.identity for job in jobs_of_study(folder)}
    assert status("small", folder, 110.0, configured).changed == 0
    first, second, *_ = configured
    other = {**configured, first: "another", "results/small/fit/new": "new"}
    del other[second]
    found = status("small", folder, 110.0, other)
    assert found.changed == 3 and "3 jobs differ" in words.of_status(found)


def test_jobs_that_outlive_their_run_are_told(started):
    folder, _, _ = started
    with open(folder / "results/.jobs.lock", "w") as job:
        fcntl.flock(job, fcntl.LOCK_SH)
        found = status("small", folder, 110.0)
        assert found.orphans and "still at work" in words.of_status(found)
        with open(folder / "results/.lock", "w") as held:
            held.write(json.dumps({"study": "other", "process": 1}))
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            assert not status("small", folder, 110.0).orphans
    assert not status("small", folder, 110.0).orphans


def test_what_a_run_would_make_again_is_not_done(small, stand, tmp_path):
    study = small()
    stand(study, tmp_path)
    write_jobs(jobs_file(tmp_path, "small"), "small", jobs_of(study, {"backbone": None}))
    assert status("small", tmp_path, 1.0, None, outdated(study, tmp_path)).state == "finished"
    page = tmp_path / "results/small/report/index.html"
    page.write_text(page.read_text()[:5])
    found = status("small", tmp_path, 1.0, None, outdated(study, tmp_path))
    assert found.state == "outdated" and found.stages["build_report"]["done"] == 0
    said = words.of_status(found)
    assert "study 'small' is outdated" in said
    assert "results/small/report/index.html is damaged" in said


def test_garbage_among_the_events_is_passed_over_and_counted(started):
    folder, fits, tell = started
    with open(events_file(folder, "small"), "ab") as stream:
        stream.write(b'\xff\xfe garbage\n[1, 2]\n{}\n"text"\n' + b"[" * 100_000 + b"\n")
    tell("job_info", "late", job=[1], rule=3)
    tell("run_info", 103, jobs=["fit"])
    begin(tell, 1, fits[0], 104)
    tell("job_error", 105, job=1)
    found = status("small", folder, 110.0)
    assert found.state == "failed" and found.unread == 7
    assert "7 lines of the last run's events cannot be read" in words.of_status(found)


def test_an_event_of_a_rule_that_the_study_lacks_ends_no_status(started):
    folder, fits, tell = started
    tell("job_info", 101, job=1, rule="another", folder="f", log=[], reason="")
    with open(folder / "results/.lock", "w") as held:
        held.write(json.dumps({"study": "small", "process": 1}))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        assert status("small", folder, 110.0).state == "running"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\x00", b"[" * 100_000])
def test_a_damaged_list_of_jobs_is_told_in_one_sentence(started, content):
    folder, _, _ = started
    jobs_file(folder, "small").write_bytes(content)
    with pytest.raises(UserError, match=r"jobs\.json: .* Remove the file and run the same command"):
        status("small", folder, 110.0)
