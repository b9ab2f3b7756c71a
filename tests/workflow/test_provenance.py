"""Results that were moved, copied without Snakemake's notes, or damaged: what is made again."""

import json
import shutil
import sys

import pytest

from tests import forks
from tests.conftest import Copy
from tests.finished import shipped

pytestmark = pytest.mark.workflow

#: Jobs of the tiny study.
TINY = len(shipped("configs/tiny.yaml").folders)

AGGREGATION = {"analyse", "build_report"}
FIT = "results/tiny/fit/ref-reglu/keep_cold/hot/0"
PAGE = "results/tiny/report/index.html"


@pytest.fixture
def moved(finished, tmp_path):
    """The finished results in another folder, without the hidden one, and a project to edit."""
    project = shutil.copytree(finished.folder, tmp_path / "project")
    work = tmp_path / "elsewhere"
    shutil.copytree(finished.work / "results", work / "results", copy_function=shutil.copy2)
    return Copy(project, work)


def whole(copy):
    return {name: content for name, content in copy.artifacts().items() if name != "tiny/jobs.json"}


def status(copy):
    line = [sys.executable, "-m", "pipeline", "status", str(copy.folder / "configs/tiny.yaml")]
    done = forks.run(line, copy.environment, copy.work)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stdout


def test_moved_results_are_reused(finished, moved):
    assert moved.planned() == {}
    assert "Nothing to be done" in moved.run()
    assert whole(moved) == whole(finished)
    assert f"is finished: {TINY} of {TINY} done" in status(moved)


def test_moved_results_are_made_again_where_another_configuration_asks(finished, moved):
    moved.configure("analysis.confidence", 0.9)
    assert f"is outdated: {TINY - 2} of {TINY} done" in status(moved)
    assert set(moved.planned()) == AGGREGATION
    said = moved.run()
    assert "made for another configuration" in said
    answer = json.loads((moved.work / "results/tiny/analyse/finding.json").read_text())
    assert answer["body"]["confidence"] == 0.9
    assert moved.planned() == {} and "is finished" in status(moved)
    changed = {name for name, old in whole(finished).items() if whole(moved)[name] != old}
    assert {name.split("/")[1] for name in changed} == {"analyse", "report"}


def test_another_share_makes_the_classification_and_what_follows_again(moved):
    moved.edit("configs/tiny.yaml", "share: 0.8", "share: 0.7")
    assert set(moved.planned()) == {"classify", "fit", "evaluate"} | AGGREGATION


def test_other_code_makes_what_it_is_of_again(moved):
    moved.edit("src/pipeline/methods/sparsifiers/drop_random.py", "seed + 1", "seed + 2")
    jobs = moved.planned()
    assert set(jobs) == {"fit", "evaluate"} | AGGREGATION
    assert all("/drop_random/" in path for path in jobs["fit"] + jobs["evaluate"])


def test_snakemakes_notes_cut_short_are_as_good_as_none(edited):
    notes = [path for path in (edited.work / ".snakemake/metadata").rglob("*") if path.is_file()]
    for number, path in enumerate(notes):
        path.write_bytes(path.read_bytes()[:20] if number % 2 else b"")
    assert edited.planned() == {}
    edited.configure("analysis.confidence", 0.9)
    assert set(edited.planned()) == AGGREGATION


def test_results_put_in_the_place_of_others_are_not_taken_for_them(edited, tmp_path):
    """Those of another configuration, where Snakemake has noted how the first were made."""
    kept = shutil.copytree(
        edited.work / "results", tmp_path / "results", copy_function=shutil.copy2
    )
    edited.configure("analysis.confidence", 0.9)
    edited.run()
    shutil.rmtree(edited.work / "results")
    shutil.copytree(kept, edited.work / "results", copy_function=shutil.copy2)
    assert set(edited.planned()) == AGGREGATION


def test_only_what_the_target_needs_is_made_again(moved):
    moved.configure("analysis.confidence", 0.9)
    assert "Nothing to be done" in moved.run(f"{FIT}/plan.json")


def test_what_carries_no_manifest_is_told_and_made_again(finished, edited):
    plan = edited.work / FIT / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text())["body"]))
    assert f"{FIT}/plan.json is damaged, or without what it was made from" in status(edited)
    jobs = edited.planned()
    assert set(jobs) == {"fit", "evaluate"} | AGGREGATION and len(jobs["fit"]) == 1
    before = finished.artifacts()
    assert f"{FIT}/plan.json is damaged" in edited.run()
    assert edited.artifacts().keys() == before.keys() and edited.planned() == {}
    assert "manifest" in json.loads(plan.read_text())


@pytest.mark.parametrize("name", [PAGE, "results/tiny/report/accuracy-lost.vl.json"])
def test_a_report_that_was_cut_is_made_again(edited, name):
    before = edited.artifacts()
    path = edited.work / name
    path.write_bytes(path.read_bytes()[:-200])
    assert f"{name} is damaged" in status(edited)
    assert set(edited.planned()) == {"build_report"}
    edited.run()
    assert edited.artifacts() == before


def test_garbage_in_a_runs_files_ends_no_command_in_a_traceback(edited):
    with open(edited.work / "results/logs/tiny/events.jsonl", "ab") as events:
        events.write(b"\xff\xfegarbage\n[]\n")
    (edited.work / "results/tiny/jobs.json").write_text("{")
    (edited.work / "results/.lock").write_text("[]")
    assert "Nothing to be done" in edited.run()
    said = status(edited)
    assert f"is finished: {TINY} of {TINY} done" in said
