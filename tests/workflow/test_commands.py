"""plan, status and gc on a study that has really run."""

import json
import os
import subprocess
import sys

import pytest

from pipeline.commands.plan import plan
from pipeline.config.study import parse_study
from pipeline.planning.study import Study, read_config
from pipeline.running import launcher
from pipeline.running.memory import Memory
from tests import forks
from tests.finished import shipped

pytestmark = pytest.mark.workflow

#: Jobs of the tiny study.
TINY = len(shipped("configs/tiny.yaml").folders)
SMALL = Memory(700_000_000, 600_000_000, None)


def ask(copy, *arguments, config="configs/tiny.yaml"):
    """Output of a command in the copy's working folder; fails the test when it fails."""
    given = [] if arguments[0] == "gc" else [str(copy.folder / config)]
    line = [sys.executable, "-m", "pipeline", *arguments, *given]
    done = forks.run(line, copy.environment, copy.work)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_plan_of_nothing_run_yet_names_every_job_and_its_reason(fresh):
    found = json.loads(ask(fresh, "plan", "--json"))
    stages = found["stages"]
    assert stages["fit"]["jobs"] == stages["fit"]["to_run"] == 7
    assert stages["fit"]["why"] == {"missing output files": 7}
    assert all(stage["core_hours"] > 0 for stage in stages.values())
    assert found["past_jobs"] == 0 and found["errors"] == []
    assert not (fresh.work / "results").exists()
    assert "nothing has run here yet" in ask(fresh, "plan")


def test_a_plan_on_a_machine_with_too_little_memory_says_so(fresh, monkeypatch):
    """The fit of a built-in model needs some 450 MB, its evaluation some 900."""
    monkeypatch.setattr(launcher, "memory", lambda: SMALL)
    config, directory = fresh.folder / "configs/tiny.yaml", fresh.work
    line = launcher.command(config, "local", None, directory, [])
    assert line[line.index("--resources") + 1] == "mem_mb=700"
    study = Study(parse_study(read_config(config), config.parent))
    found = plan(study, directory, line, 2, SMALL)
    assert found.memory_megabytes == 700
    evaluate, fit = found.stages["evaluate"], found.stages["fit"]
    assert (evaluate.too_large, fit.too_large) == (evaluate.jobs, 0)
    assert evaluate.largest.startswith("results/tiny/evaluate/")
    # One job after the other, since two together ask for more.
    assert found.wall_hours > plan(study, directory, line, 2, None).wall_hours


def test_a_plan_after_an_edit_names_what_it_outdates(edited):
    assert f"0 of {TINY} jobs to run" in ask(edited, "plan")
    edited.edit("configs/tiny.yaml", "levels: [0.25, cold]", "levels: [0.25, 0.5, cold]")
    found = json.loads(ask(edited, "plan", "--json"))
    to_run = {rule: stage["to_run"] for rule, stage in found["stages"].items() if stage["to_run"]}
    assert to_run == {"fit": 1, "evaluate": 1, "analyse": 1, "build_report": 1}
    assert found["past_jobs"] == TINY
    (error,) = found["errors"]
    assert error["study"] == "tiny" and not error["from_others"]
    assert error["estimated_hours"] == pytest.approx(error["actual_hours"])


def test_a_plan_of_another_study_rests_on_the_one_that_ran(edited):
    text = (edited.folder / "configs/tiny.yaml").read_text()
    (edited.folder / "configs/other.yaml").write_text(text.replace("study: tiny", "study: other"))
    text = ask(edited, "plan", config="configs/other.yaml")
    assert f"scaled by {TINY} jobs that have run here" in text
    # How well a study is told from its own jobs tells nothing.
    assert "estimated from" not in text


def test_the_state_of_a_finished_study(finished):
    found = json.loads(ask(finished, "status", "--json"))
    assert found["state"] == "finished" and found["failed"] == []
    assert all(stage["done"] == stage["jobs"] for stage in found["stages"].values())


def test_a_failed_job_is_told_with_the_last_lines_of_its_log(edited):
    edited.edit(
        "src/pipeline/methods/sparsifiers/drop_random.py", "seed + 1", "seed + 2 + undefined"
    )
    failed = subprocess.run(
        edited.command(), env=edited.environment, cwd=edited.work, capture_output=True, check=False
    )
    assert failed.returncode != 0
    found = json.loads(ask(edited, "status", "--json"))
    assert found["state"] == "failed"
    assert found["stages"]["fit"]["failed"] == 1
    (job,) = found["failed"]
    assert "/drop_random/" in job["folder"]
    assert any("NameError" in line for line in job["last_lines"])


def test_a_level_taken_out_is_garbage_after_the_next_run(edited):
    assert "unused: 0 folders" in ask(edited, "gc")
    edited.edit("configs/tiny.yaml", "levels: [0.25, cold]", "levels: [0.25]")
    edited.run()
    before = edited.artifacts()
    found = json.loads(ask(edited, "gc", "--remove", "--json"))
    assert found["removed"] and all("/drop_cold/cold/" in i["path"] for i in found["items"])
    after = edited.artifacts()
    assert set(before) - set(after) == {n for n in before if "/drop_cold/cold/" in n} != set()
    assert edited.planned() == {}


def test_accuracy_against_measured_speed(finished):
    before = finished.artifacts()
    said = ask(finished, "speed", "--d", "64", "--d-ff", "96", "--rounds", "5")
    page = finished.work / "results/timing/tiny/speed.html"
    assert said == f"the page: {page.resolve()}\n"
    text = page.read_text()
    for name in ("drop_cold", "drop_random", "natural zeros", "sliced", "threshold"):
        assert f'<td class="text">{name}</td>' in text
    measured = json.loads(page.with_name("speed.json").read_text())
    assert (measured["d"], measured["d_ff"]) == (64, 96) and len(measured["rows"]) == 30
    # A timing is no artifact of the study, and nobody's leftover either.
    assert finished.artifacts() == before
    assert ask(finished, "gc").startswith("unused: 0 folders and files")


def test_nothing_is_removed_under_a_running_study(finished):
    import fcntl

    with open(finished.work / "results/.lock", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", "gc", "--remove"],
            env=finished.environment, cwd=finished.work, text=True, capture_output=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 2 and "results are in use by" in done.stderr


def test_a_run_on_a_terminal_shows_a_bar_and_ends_with_the_page(edited):
    """Through a pseudo-terminal; the bar counts the jobs of the run."""
    import pty

    (edited.work / "results/tiny/report/index.html").unlink()
    main, side = pty.openpty()
    process = subprocess.Popen(
        edited.command(), env={**edited.environment, "TERM": "xterm", "COLUMNS": "120"},
        cwd=edited.work, stdout=side, stderr=side, stdin=side,
    )  # fmt: skip
    os.close(side)
    said = b""
    while True:
        try:
            said += (part := os.read(main, 4096))
        except OSError:
            break
        if not part:
            break
    os.close(main)
    assert process.wait() == 0
    assert b"jobs" in said and b"build_report" in said
    assert b"the page: " in said
