"""Small evaluated conditions made by hand."""

import polars as pl
import pytest

from pipeline.analysis.arms import Evaluated
from pipeline.analysis.removals import Order
from pipeline.tables.samples import SAMPLES, SPARSITY


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
    """Orders of a study with every control: by layer, of the model, and of other text."""

    def order(method, sparsifier, scope="layer", corpus="reasoning", **options):
        return Order(method, sparsifier, scope, corpus, **options)

    return [
        order("cold", "drop_cold"),
        order("hot", "keep_cold"),
        order("random", "drop_random"),
        order("among_cold", "drop_random", among="cold"),
        order("small", "drop_small"),
        order("cold_of_prose", "drop_cold", corpus="prose"),
        order("cold_of_model", "drop_cold", "model"),
        order("hot_of_model", "keep_cold", "model"),
        order("as_model", "drop_random", "model", match="cold_of_model"),
        order("cold_as_model", "drop_random", "model", match="cold_of_model", among="cold"),
        order("deciles", "drop_decile"),
    ]


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
