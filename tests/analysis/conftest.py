"""Small evaluated conditions made by hand."""

import polars as pl
import pytest

from pipeline.analysis.arms import Evaluated
from pipeline.tables.samples import SAMPLES, SPARSITY


def _samples(right):
    rows = [
        {
            "task": task,
            "item": item,
            "item_hash": f"{task}{item}",
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

    def make(method, level, right, imposed=0.0, seed=0, model="m", refused=None):
        samples = _samples({} if refused else right)
        sparsity = _sparsity(right, imposed, imposed, refused)
        return Evaluated(model, method, level, seed, samples, sparsity)

    return make


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
