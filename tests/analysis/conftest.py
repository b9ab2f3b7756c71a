"""Small evaluated conditions made by hand."""

from types import SimpleNamespace

import polars as pl
import pytest

from pipeline.analysis.arms import Evaluated
from pipeline.analysis.base import analysed
from pipeline.analysis.material import Backbone, Material
from pipeline.config.analysis import Analysis
from pipeline.config.orders import Orders
from pipeline.tables.samples import SAMPLES, SPARSITY
from tests.orders import EVERY_CONTROL


def _samples(right):
    rows = [
        {
            "task": task,
            "item": item,
            "item_hash": f"{task}{item}",
            "cluster": f"{task}{item}",
            "prompt_hash": f"prompt {task}{item}",
            "reasoning": task != "copying",
            "steps": 1 + item % 2 if task != "copying" else 0,
            "target": "T" if item % 3 else "F",
            "response": "# T",
            "answer": "T",
            "correct": bool(correct),
            "finite": True,
            "nats": None,
            "scored_tokens": None,
            "in_form": True,
            "answer_tokens": 2,
        }
        for task, corrects in right.items()
        for item, correct in enumerate(corrects)
    ]
    return SAMPLES.frame(rows)


def _sparsity(right, imposed, total, refused=None):
    return SPARSITY.frame(
        [
            {
                "task": task,
                "tokens": 100 * (1 + index),
                "basis": basis,
                "neuron_sparsity": share,
                "ffn_weight_sparsity": share,
                "model_weight_sparsity": share / 2,
                "sparse_from": "start",
                "nonfinite": 0,
                "halved": 0,
                "refused": refused,
            }
            for index, task in enumerate(right)
            for basis, share in (("imposed", imposed), ("total", total))
        ]
    )


@pytest.fixture
def condition():
    """Makes an Evaluated from lists of right (1) and wrong (0) per task."""

    def make(method, level, right, imposed=0.0, seed=0, model="m", refused=None, plan=None):
        samples = _samples({} if refused else right)
        sparsity = _sparsity(right, imposed, imposed, refused)
        return Evaluated(model, method, level, seed, samples, sparsity, plan=plan)

    return make


@pytest.fixture
def plan():
    """Makes what a body of PLAN tells of neurons removed for good, ten a layer."""

    def make(by_layer, activity=None, contribution=None, shared=None, seed=0):
        return {
            "seed": seed,
            "neurons": 10 * len(by_layer or [0, 0]),
            "dropped_by_layer": by_layer,
            "activity_removed": activity,
            "contribution_removed": contribution,
            "shared_with_coldest": shared,
        }

    return make


@pytest.fixture
def orders():
    """Orders of a study with every control."""
    return EVERY_CONTROL


@pytest.fixture
def targets():
    """Targets of the items above."""
    return pl.DataFrame(
        [
            {"task": task, "steps": 1 + i % 2 if task != "copying" else 0, "target": target}
            for task, answers in (("sum", "uvwxyz"), ("logic", "FTTFTT"), ("copying", "FTTFTT"))
            for i, target in enumerate(answers)
        ]
    )


@pytest.fixture
def analyse(targets):
    """Makes what every analysis finds in evaluated conditions of one model, by name."""
    backbone = Backbone(
        {"name": "m", "activation": "relu", "parameters": 10},
        pl.DataFrame({"natural_sparsity": [0.8, 0.9]}),
        {
            "neurons": 100, "hot": 30, "carried": 0.81, "active_rule": "nonzero",
            "policy": "coverage", "share": 0.8,
        },
    )  # fmt: skip
    settings = Analysis(bootstrap=500, confidence=0.9, reference_level=0.25)

    def make(evaluated, orders=(), parted=(), seed=0, settings=settings):
        study = Material(
            evaluated, [backbone], parted, targets, Orders(list(orders)), settings, seed
        )
        return SimpleNamespace(**analysed(study))

    return make
