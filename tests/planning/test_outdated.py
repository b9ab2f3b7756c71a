"""Files that are not what a study asks for, told by their own manifests."""

import json

import pytest

from pipeline.planning.outdated import CONFIGURATION, DAMAGED, SOURCE, outdated, sentences
from pipeline.planning.stages import STAGES
from tests.finished import following

FIT = "results/small/fit/backbone/drop_cold/0.25/0"


@pytest.fixture
def finished(small, stand, tmp_path):
    """(study, folder) with all files of the study in the folder."""
    study = small()
    stand(study, tmp_path)
    return study, tmp_path


def rules(study, found):
    """Why -> rules of the jobs whose files are outdated."""
    said = {}
    for one in found:
        said.setdefault(one.why, set()).add(study.folders[one.folder].rule)
    return said


def test_what_was_made_as_asked_is_current_and_what_is_missing_is_not_told(finished):
    study, folder = finished
    assert outdated(study, folder) == []
    for file in folder.rglob("*.parquet"):
        file.unlink()
    assert outdated(study, folder) == []
    assert outdated(study, folder / "nowhere") == []


def test_another_configuration_outdates_what_depends_on_it(finished, small):
    _, folder = finished
    study = small(analysis={"confidence": 0.9})
    assert rules(study, outdated(study, folder)) == {CONFIGURATION: {"analyse", "build_report"}}
    by_share = {"coverage80": {"policy": "coverage", "share": 0.7, "scope": "layer"}}
    study = small(analysis={"confidence": 0.95}, classification=by_share)
    told = rules(study, outdated(study, folder))
    assert told == {CONFIGURATION: following(study, "classify")}
    assert told[CONFIGURATION] >= {"classify", "fit", "evaluate", "analyse", "build_report"}


def test_other_code_outdates_the_rules_that_it_is_of(finished, monkeypatch):
    study, folder = finished
    behind = study.source_behind
    monkeypatch.setattr(study, "source_behind", lambda f: behind(f) + "x" * (f.rule == "fit"))
    assert rules(study, outdated(study, folder)) == {SOURCE: {"fit"}}


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


def without_manifest(path):
    """The same values, as another program would write them again."""
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(path.read_text())["body"]))
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)
    else:
        path.write_bytes((2).to_bytes(8, "little") + b"{}")


def emptied(path):
    path.write_bytes(b"")


def garbled(path):
    path.write_bytes(b"\xff[" * 100_000)


@pytest.mark.parametrize("harm", [cut, without_manifest, emptied, garbled])
@pytest.mark.parametrize(
    "file",
    [f"{FIT}/plan.json", f"{FIT}/plan.safetensors", "results/small/analyse/curves.parquet"],
)
def test_a_file_that_does_not_say_what_it_is_is_never_taken(finished, harm, file):
    study, folder = finished
    harm(folder / file)
    (one,) = outdated(study, folder)
    assert (one.file, one.why) == (file, DAMAGED)


@pytest.mark.parametrize("name", ["index.html", "accuracy-lost.svg", "natural-sparsity.vl.json"])
def test_a_report_file_that_is_cut_or_changed_is_told(finished, name):
    study, folder = finished
    file = f"results/small/report/{name}"
    cut(folder / file)
    assert [(one.file, one.why) for one in outdated(study, folder)] == [(file, DAMAGED)]
    (folder / file).write_text("another\n")
    assert [one.file for one in outdated(study, folder)] == [file]


def test_a_report_whose_manifest_is_gone_or_damaged_is_made_again(finished):
    study, folder = finished
    told = folder / "results/small/report/files.json"
    cut(told)
    assert "results/small/report/index.html" in {one.file for one in outdated(study, folder)}
    told.unlink()
    found = outdated(study, folder)
    assert "results/small/report/index.html" in {one.file for one in found}
    assert {one.why for one in found} == {DAMAGED}


def test_one_sentence_a_reason_names_the_first_file(finished, small):
    study, folder = finished
    cut(folder / FIT / "plan.json")
    (one,) = sentences(outdated(study, folder))
    assert one == (
        f"{FIT}/plan.json is damaged, or without what it was made from; a run makes it again"
    )
    study = small(analysis={"confidence": 0.9})
    many, _ = sentences(outdated(study, folder))
    # Every table of the analysis, and the one file that stands for the report.
    files = len(STAGES["analyse"].files) + 1
    told = f"{files} files are made for another configuration or other data, results/"
    assert many.startswith(told)
    assert sentences([]) == []
