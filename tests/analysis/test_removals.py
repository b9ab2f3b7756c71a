"""What removals took, draw by draw, and which orders are controls of which."""

import pytest

from pipeline.analysis.arms import arms
from pipeline.analysis.curves import Losses
from pipeline.analysis.removals import Order, Orders, rows_of
from pipeline.analysis.study import clusters
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
    return rows_of(found, {"m": Losses(dense, kinds, CHANCE, of, 0.95)})


def names(orders):
    return [order.method for order in orders]


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


def test_the_coldest_of_a_scope_is_the_first_of_the_configuration(orders):
    assert Orders(orders).coldest("layer").method == "cold"
    assert Orders(orders[::-1]).coldest("layer").method == "cold_of_prose"
    assert Orders(orders).coldest("model").method == "cold_of_model"
    assert Orders(orders[:5]).coldest("model") is None
    assert names(Orders(orders).named("drop_cold")) == ["cold", "cold_of_prose", "cold_of_model"]
    assert names(Orders(orders).named("drop_cold", "model")) == ["cold_of_model"]


def test_draws_of_every_layer_are_matched_to_orders_of_every_layer(orders):
    chosen = Orders(orders)
    cold, of_prose = chosen.named("drop_cold", "layer")
    for order in (cold, of_prose, *chosen.named("keep_cold", "layer")):
        assert names(chosen.matched(order)) == ["random"]
    assert names(chosen.matched(cold, "cold")) == ["among_cold"]
    # Other neurons are cold on prose.
    assert names(chosen.matched(of_prose, "cold")) == []


def test_an_order_of_the_model_is_matched_only_by_what_names_it(orders):
    chosen = Orders(orders)
    cold, hot = chosen.coldest("model"), chosen.named("keep_cold", "model")[0]
    assert names(chosen.matched(cold)) == ["as_model"]
    assert names(chosen.matched(cold, "cold")) == ["cold_as_model"]
    # An even draw takes other numbers of each layer, so it is no control.
    assert names(chosen.matched(hot)) == []
    without = Orders([order for order in orders if order.match is None])
    assert names(without.matched(cold)) == []


def test_a_draw_that_is_matched_to_one_order_is_no_control_of_another():
    cold, prose, free = (
        Order("cold", "drop_cold", "layer", "reasoning"),
        Order("prose", "drop_cold", "layer", "prose"),
        Order("free", "drop_random", "layer", "reasoning"),
    )
    own = Order("own", "drop_random", "layer", "prose", match="prose")
    chosen = Orders([cold, prose, own, free])
    assert names(chosen.matched(cold)) == ["free"]
    assert names(chosen.matched(prose)) == ["own", "free"]


def test_draws_for_less_of_a_sequence_or_from_another_cold_set_are_no_control():
    cold = Order("cold", "drop_cold", "layer", "reasoning", classification="coverage")
    late = Order("late", "drop_random", "layer", "reasoning", sparse_from="continuation")
    other = Order("other", "drop_random", "layer", "reasoning", None, "cold", "budget")
    same = Order("same", "drop_random", "layer", "reasoning", None, "cold", "coverage")
    chosen = Orders([cold, late, other, same])
    assert names(chosen.matched(cold)) == []
    assert names(chosen.matched(cold, "cold")) == ["same"]
