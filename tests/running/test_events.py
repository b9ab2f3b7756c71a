"""What a file of events says of its last run."""

import json

from pipeline.running.events import last_run


def event(kind, time, **facts):
    return json.dumps({"event": kind, "time": time, **facts}) + "\n"


def begun(number, time, rule="fit", folder=None):
    facts = {"folder": folder or f"results/x/{number}", "log": [f"l{number}"], "reason": "why"}
    return event("job_info", time, job=number, rule=rule, **facts)


START = event("workflow_started", 1.0) + event(
    "run_info", 1.5, jobs={"fit": 2, "all": 1, "total": 3}
)


def read(tmp_path, text):
    path = tmp_path / "events.jsonl"
    path.write_text(text)
    return last_run(path)


def test_no_file_and_an_empty_one_tell_of_no_run(tmp_path):
    assert last_run(tmp_path / "events.jsonl") is None
    assert read(tmp_path, "") is None


def test_begun_finished_and_failed_jobs(tmp_path):
    text = START + begun(1, 2) + begun(2, 3) + begun(3, 3) + event("job_finished", 7, job=2)
    run = read(tmp_path, text + event("job_error", 8, job=3) + begun(0, 9, rule="all"))
    assert run.planned == {"fit": 2}
    assert list(run.running) == [1] and run.running[1].log == "l1"
    assert [(job.folder, seconds) for job, seconds in run.finished] == [("results/x/2", 4)]
    assert list(run.failed) == ["results/x/3"]
    assert (run.begun, run.last, run.most_at_once) == (1, 9, 3)


def test_a_second_try_of_a_failed_job_clears_it(tmp_path):
    failed = begun(1, 2) + event("job_error", 3, job=1)
    assert read(tmp_path, START + failed + begun(1, 4)).failed == {}


def test_only_the_last_run_counts(tmp_path):
    run = read(tmp_path, START + begun(1, 2) + event("workflow_started", 10.0))
    assert run.begun == 10 and not run.running and not run.planned


def test_a_line_that_a_kill_cut_off_is_left_out(tmp_path):
    run = read(tmp_path, START + begun(1, 2) + begun(2, 3)[:20])
    assert list(run.running) == [1]
    assert read(tmp_path, START + begun(1, 2)[:30] + "\n" + begun(2, 3)).running.keys() == {2}


def test_jobs_that_an_interrupt_ended_have_not_failed(tmp_path):
    """One failed long before, one is told just before the interrupt, one after."""
    text = START + begun(1, 2) + begun(2, 3) + begun(3, 3) + event("job_error", 8, job=1)
    text += (
        event("job_error", 99, job=2) + event("interrupted", 100) + event("job_error", 101, job=3)
    )
    run = read(tmp_path, text)
    assert run.interrupted and list(run.failed) == ["results/x/1"]


def test_lines_that_are_no_events_are_counted_since_the_last_start(tmp_path):
    garbage = "garbage\n[]\n" + event("workflow_started", "late")
    assert read(tmp_path, garbage).unread == 3
    assert read(tmp_path, garbage + START).unread == 0
    run = read(tmp_path, START + garbage + begun(1, 3))
    assert run.unread == 3 and list(run.running) == [1]
