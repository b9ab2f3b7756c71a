"""Evidence from files: what training may go on from, and what it leaves."""

import dataclasses

import pytest

from pipeline.config.level import Level
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.evidence import EvidenceFiles
from pipeline.methods.plan import Asked
from pipeline.tables.sequences import SEQUENCES

PARTS = {"sparsifier": {"name": "teal", "options": {"allocation": "uniform"}}}


@pytest.fixture
def files(tmp_path, manifest, save_model):
    """A small model in a folder, its record and two sequences; no profile."""
    from pipeline.models.resolve import resolve
    from pipeline.tables.model import MODEL

    model = Model(source=str(save_model(tmp_path / "model")))
    MODEL.write(tmp_path / "model.json", resolve("small", model), manifest)
    rows = [{"document": "a", "tokens": [1, 5, 6]}, {"document": "b", "tokens": [1, 7, 8, 9]}]
    rows = [{name: row.get(name, 0) for name in SEQUENCES.columns} for row in rows]
    SEQUENCES.write(tmp_path / "sequences.parquet", rows, manifest)
    none = tmp_path / "none"
    return EvidenceFiles(
        tmp_path / "model.json", tmp_path / "sequences.parquet", none, none, none, none, [], [],
        model, Profile(),
    )  # fmt: skip


def test_training_goes_on_from_no_checkpoint_of_other_code_settings_or_levels(files, tmp_path):
    asked = Asked(PARTS, Level.of(0.5))
    changed = [
        files.evidence(asked, tmp_path / "c", "0"),
        files.evidence(asked, tmp_path / "c", "1"),
        files.evidence(dataclasses.replace(asked, level=0.6), tmp_path / "c", "0"),
        files.evidence(dataclasses.replace(asked, seed=1), tmp_path / "c", "0"),
        files.evidence(dataclasses.replace(asked, measure="neuron_sparsity"), tmp_path / "c", "0"),
        dataclasses.replace(files, profile=Profile(cett=0.1)).evidence(asked, tmp_path / "c", "0"),
        dataclasses.replace(
            files, model=files.model.model_copy(update={"dtype": "bfloat16"})
        ).evidence(asked, tmp_path / "c", "0"),
    ]
    assert len({evidence.fingerprint for evidence in changed}) == len(changed)
    again = files.evidence(asked, tmp_path / "elsewhere", "0")
    assert again.fingerprint == changed[0].fingerprint


def test_without_a_classification_nothing_is_hot(files, tmp_path):
    evidence = files.evidence(Asked(PARTS, Level.of(0.5)), tmp_path / "c", "0")
    assert evidence.hot is None and evidence.neurons is None
    assert [list(row) for row in evidence.sequences] == [[1, 5, 6], [1, 7, 8, 9]]


def test_checkpoints_go_when_the_work_is_done_and_stay_when_it_is_not(files, tmp_path):
    output = tmp_path / "made" / "plan.json"
    with pytest.raises(RuntimeError), files.checkpoint(output) as place:
        for name in ("", ".0.8"):
            place.with_name(place.name + name).write_text("so far")
        raise RuntimeError
    assert len(list(output.parent.iterdir())) == 2
    with files.checkpoint(output) as again:
        assert again == place
    assert list(output.parent.iterdir()) == []
