"""Importing the package, and planning a study, loads no heavy library."""

import pkgutil

import pytest

import pipeline

HEAVY = ("torch", "transformers", "lm_eval", "datasets", "altair", "tokenizers", "huggingface_hub")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline.")
    if not module.name.endswith("__main__")
)
CHECK = f"""
import sys, threading
loaded = [name for name in {HEAVY} if name in sys.modules]
assert not loaded, loaded
assert threading.active_count() == 1, threading.enumerate()
"""

PLAN = """
import sys
from pathlib import Path
from pipeline.running import launcher
from pipeline.planning import sources, study
from pipeline.config.study import parse_study
planned = study.Study(parse_study(study.read_config(Path(sys.argv[1]))))
for model, corpus in planned.profiled:
    planned.profile_key(model, corpus), planned.dense_key(model)
    planned.source("profile_shard", model=model), planned.source("evaluate_dense", model=model)
    planned.source("extract_calibration", corpus=corpus)
for folder in planned.folders.values():
    planned.source_behind(folder)
for rule in sources.RULES:
    sources.rule_source(rule, sources.family_entries())
"""


def test_every_module_is_found():
    assert "pipeline.profiling.shard" in MODULES and len(MODULES) > 50


def test_importing_every_module_loads_no_heavy_library_and_starts_no_thread(python):
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    done = python(code + CHECK, *MODULES)
    assert done.returncode == 0, done.stderr
    assert done.stdout == done.stderr == ""


@pytest.mark.parametrize("name", ["pipeline.reference.train", "pipeline.models.loading"])
def test_a_module_alone_loads_no_heavy_library(python, name):
    done = python(f"import {name}\n" + CHECK)
    assert done.returncode == 0, done.stderr


def test_planning_a_study_and_its_digests_loads_no_heavy_library(python):
    from pipeline.planning.study import PROJECT

    done = python(PLAN + CHECK, PROJECT / "config.yaml")
    assert done.returncode == 0, done.stderr
