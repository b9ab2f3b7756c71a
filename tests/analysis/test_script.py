"""The script of the analysis reads every file as what its folder is about."""

import dataclasses
import importlib.util
import shutil

import pytest

from pipeline.config.analysis import Analysis
from pipeline.errors import UserError
from pipeline.store.digest import SOURCE_ROOT
from pipeline.tables.base import Document
from pipeline.tables.classes import CLASSES, CLASSIFICATION
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYERS, NEURONS
from pipeline.tables.plan import PLAN
from pipeline.tables.samples import SAMPLES, SPARSITY

MODELS = ("one", "two")
#: Input of the script -> its kind, and the folder of a model's file.
INPUTS = {
    "samples": (SAMPLES, "evaluate"),
    "sparsity": (SPARSITY, "evaluate"),
    "plans": (PLAN, "fit"),
    "models": (MODEL, "resolve_model"),
    "layers": (LAYERS, "merge_profile"),
    "classifications": (CLASSIFICATION, "classify"),
    "part_neurons": (NEURONS, "merge_profile"),
    "part_classes": (CLASSES, "classify"),
}
FACTS = {
    "evaluate": {"method": "cold", "level": "0.5", "seed": 0, "measure": None},
    "fit": {"method": "cold", "level": "0.5", "seed": 0},
    "merge_profile": {"corpus": "reasoning"},
    "classify": {"corpus": "reasoning", "classification": "coverage"},
}


@pytest.fixture
def analyse_script():
    """The script, imported as Snakemake would run it, and its job left out."""
    path = SOURCE_ROOT.parent / "workflow" / "scripts" / "analyse.py"
    spec = importlib.util.spec_from_file_location("analyse", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.fixture
def given(tmp_path, manifest):
    """Keywords of the script: an empty file of every kind for two models."""
    paths, folders = {name: [] for name in INPUTS}, {}
    for name, (kind, stage) in INPUTS.items():
        for model in MODELS:
            folder = tmp_path / stage / model
            identity = f"{stage} of {model}"
            folders[str(folder)] = {"model": model, **FACTS.get(stage, {}), "identity": identity}
            document = isinstance(kind, Document)
            path = folder / f"{kind.name}.{'json' if document else 'parquet'}"
            body = dict.fromkeys(kind.keys) if document else []
            kind.write(path, body, dataclasses.replace(manifest, identity=identity))
            paths[name].append(path)
    return paths | {
        "folders": folders, "parted": [], "tasks": [], "orders": [],
        "analysis": Analysis(reference_level=0.25), "seed": 0, "tables": [], "manifest": manifest,
    }  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_files_that_stand_in_each_others_place_are_refused(analyse_script, given, tmp_path, name):
    one, other = given[name]
    shutil.move(one, tmp_path / "apart")
    shutil.move(other, one)
    shutil.move(tmp_path / "apart", other)
    with pytest.raises(UserError, match=f"{one.name}: made by rule some_rule for another"):
        analyse_script(**given)


def test_conditions_whose_facts_are_swapped_are_refused(analyse_script, given):
    one, other = (str(path.parent) for path in given["samples"])
    folders = given["folders"]
    folders[one], folders[other] = folders[other], folders[one]
    with pytest.raises(UserError, match="for another condition, study or version"):
        analyse_script(**given)
