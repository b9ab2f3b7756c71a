"""What removals took, draw by draw."""

from types import SimpleNamespace

import pytest

from pipeline.analysis.arms import arms
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import clusters
from pipeline.analysis.removals import removals
from pipeline.analysis.removed_by_layer import removed_by_layer
from pipeline.tables.removals import REMOVALS, REMOVED_BY_LAYER

DENSE = {"sum": [1] * 6, "logic": [1] * 6, "copying": [1] * 6}
HALF = {"sum": [1, 1, 1, 0, 0, 0], "logic": [1] * 6, "copying": [0] * 6}
LESS = {"sum": [1, 1, 0, 0, 0, 0], "logic": [1, 1, 1, 1, 0, 0], "copying": [0] * 6}
CHANCE = {"sum": 0.2, "logic": 0.4, "copying": 0.1}


def rows(evaluated, reasoning=("sum", "logic")):
    """(rows of REMOVALS, rows of REMOVED_BY_LAYER) of the conditions."""
    found, _ = arms(evaluated)
    (dense,) = (arm for arm in found if arm.method == "dense")
    kinds = {task: task in reasoning for task in dense.right}
    of = clusters(evaluated[-1].samples.sort("task", "item"))
    study = SimpleNamespace(arms=found, losses={"m": Losses(dense, kinds, CHANCE, of, 0.95)})
    return removals(study), removed_by_layer(study)


def test_a_row_a_draw_by_hand(condition, plan):
    draws = [plan([2, 4], 0.31, 0.25, 0.5, seed=3), plan([2, 4], 0.29, 0.2, 0.75, seed=7)]
    removals, layers = rows(
        [
            condition("random", "0.3", HALF, 0.3, seed=3, plan=draws[0]),
            condition("random", "0.3", LESS, 0.3, seed=7, plan=draws[1]),
            condition("dense", "0", DENSE),
        ]
    )
    # Lost of sum and logic: 3/6 and 0, then 4/6 and 2/6; above chance lie 1 - 0.3.
    head = {"model": "m", "method": "random", "level": "0.3", "removed": 6, "neurons": 20}
    ends = {"least_of_a_layer": 0.2, "most_of_a_layer": 0.4}
    assert removals == [
        head | ends | {
            "seed": 3, "activity_removed": 0.31, "contribution_removed": 0.25,
            "shared_with_coldest": 0.5, "loss": pytest.approx(0.25),
            "corrected_loss": pytest.approx(0.25 / 0.7),
        },
        head | ends | {
            "seed": 7, "activity_removed": 0.29, "contribution_removed": 0.2,
            "shared_with_coldest": 0.75, "loss": pytest.approx(0.5),
            "corrected_loss": pytest.approx(0.5 / 0.7),
        },
    ]  # fmt: skip
    assert [(row["seed"], row["layer"], row["removed"], row["neurons"]) for row in layers] == [
        (3, 0, 2, 10), (3, 1, 4, 10), (7, 0, 2, 10), (7, 1, 4, 10)
    ]  # fmt: skip
    assert REMOVALS.frame(removals).height == 2
    assert REMOVED_BY_LAYER.frame(layers).height == 4


def test_the_mean_of_the_draws_is_the_loss_of_the_curve(condition, plan):
    evaluated = [
        condition("random", "0.3", answers, 0.3, seed=seed, plan=plan([3, 3], 0.3, 0.3, seed=seed))
        for seed, answers in enumerate((HALF, LESS))
    ] + [condition("dense", "0", DENSE)]
    removals, _ = rows(evaluated)
    found, _ = arms(evaluated)
    (dense,) = (arm for arm in found if arm.method == "dense")
    kinds = {"sum": True, "logic": True, "copying": False}
    losses = Losses(dense, kinds, CHANCE, clusters(evaluated[-1].samples), 0.95)
    pooled = losses.row(found[0], "reasoning")
    for name in ("loss", "corrected_loss"):
        mean = sum(row[name] for row in removals) / 2
        assert mean == pytest.approx(pooled[name])


def test_what_removes_no_neuron_for_good_has_no_row(condition, plan):
    removals, layers = rows(
        [
            condition("teal", "0.5", HALF, 0.5, plan=plan(None)),
            condition("cold", "0.5", HALF, 0.5, plan=plan([5, 5], 0.1, 0.1)),
            condition("other", "0.5", HALF, 0.5),
            condition("dense", "0", DENSE),
        ]
    )
    assert names_of(removals) == names_of(layers) == {"cold"}
    assert removals[0]["shared_with_coldest"] is None


def names_of(found):
    return {row["method"] for row in found}


def test_without_reasoning_tasks_or_above_chance_there_is_no_loss(condition, plan):
    only = [
        condition("cold", "0.5", HALF, 0.5, plan=plan([5, 5], 0.1, 0.1)),
        condition("dense", "0", DENSE),
    ]
    (row,), layers = rows(only, reasoning=())
    assert row["loss"] is row["corrected_loss"] is None
    assert row["removed"] == 10 and len(layers) == 2
    assert REMOVALS.frame([row]).height == 1
    weak = {task: [1, 0, 0, 0, 0, 0] for task in DENSE}
    (row,), _ = rows([only[0], condition("dense", "0", weak)])
    assert row["loss"] < 0 and row["corrected_loss"] is None
