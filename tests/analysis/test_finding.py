"""Which orders are compared, and what the difference between random and coldest is made of."""

import itertools
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm
from pipeline.analysis.finding import contrasts, decomposition, dense_reasoning
from pipeline.analysis.losses import Losses
from pipeline.config.orders import Orders

LEVEL = "0.25"
#: Method -> how many of a hundred questions of a task are lost.
LOST = {
    "cold": (5, 1), "hot": (90, 80), "random": (40, 20), "among_cold": (10, 4), "small": (30, 3),
    "cold_of_prose": (12, 6), "cold_of_model": (9, 2), "hot_of_model": (95, 90),
    "as_model": (33, 11), "cold_as_model": (22, 7),
}  # fmt: skip


class Plain(Arm):
    """An arm that achieved what its level says."""

    def achieved(self, tasks):
        return {"neuron_sparsity_imposed": float(self.level)}


def arm(method, lost=(0, 0), level=LEVEL, seeds=1, model="m"):
    """Loses the first questions, a draw one question further on than the one before."""
    right = {
        task: np.stack([~np.isin(np.arange(100), np.arange(k) + s) for s in range(seeds)])
        for task, k in zip(("sum", "logic"), lost, strict=True)
    }
    right["copying"] = np.ones((seeds, 100), dtype=bool)
    return Plain(model, method, level, seeds, right, {}, pl.DataFrame())


@pytest.fixture
def arms():
    """All orders at the reference level, draws five times, and the dense run."""
    drawn = {"random", "among_cold", "as_model", "cold_as_model"}
    found = [arm(name, lost, seeds=5 if name in drawn else 1) for name, lost in LOST.items()]
    return [*found, arm("dense", level="0")]


def losses(arms, reasoning=True):
    kinds = {"sum": reasoning, "logic": reasoning, "copying": False}
    return {
        dense.model: Losses(
            dense, kinds, dict.fromkeys(kinds, 0.1), dict.fromkeys(kinds, np.arange(100)), 0.95
        )
        for dense in arms
        if dense.method == "dense"
    }


def pairs(found):
    return [(row["first"]["method"], row["second"]["method"]) for row in found]


def test_the_coldest_of_a_scope_are_compared_with_their_own_controls(arms, orders):
    found = pairs(contrasts(arms, losses(arms), Orders(orders), LEVEL))
    assert [second for first, second in found if first == "cold"] == [
        "random", "among_cold", "hot", "small", "cold_of_prose", "cold_of_model"
    ]  # fmt: skip
    assert [second for first, second in found if first == "cold_of_model"] == [
        "as_model",
        "cold_as_model",
    ]
    assert [second for first, second in found if first == "cold_of_prose"] == [
        "random", "hot", "small", "cold_of_model"
    ]  # fmt: skip
    assert {first for first, _ in found} == {"cold", "cold_of_prose", "cold_of_model"}
    assert len(set(found)) == len(found)


def test_a_contrast_is_the_difference_of_losses_on_the_reasoning_tasks(arms, orders):
    found = contrasts(arms, losses(arms), Orders(orders), LEVEL)
    (row,) = (r for r in found if pairs([r]) == [("cold", "small")])
    assert row["estimate"] == pytest.approx(((5 - 30) + (1 - 3)) / 200)
    assert row["low"] < row["estimate"] < row["high"] < 0
    assert row["n"] == 200
    assert row["second"] == {"method": "small", "level": LEVEL, "neuron_sparsity": 0.25}


def test_only_the_reference_level_and_whole_sets_are_compared(orders):
    levels = {"cold": ("0.1", "cold"), "random": ("0.1", LEVEL), "hot": (LEVEL, "hot")}

    class Named(Plain):
        def achieved(self, tasks):
            return {"neuron_sparsity_imposed": 0.5}

    made = [
        Named(**vars(arm(method, LOST[method], level)))
        for method, own in levels.items()
        for level in own
    ]
    made.append(arm("dense", level="0"))
    (row,) = contrasts(made, losses(made), Orders(orders), LEVEL)
    assert (row["first"]["level"], row["second"]["level"]) == ("cold", "hot")
    assert pairs([row]) == [("cold", "hot")]


def test_an_even_draw_is_no_control_of_the_coldest_of_the_model(arms, orders):
    without = Orders([order for order in orders if order.match is None])
    found = pairs(contrasts(arms, losses(arms), without, LEVEL))
    assert ("cold_of_model", "random") not in found
    assert "cold_of_model" not in [first for first, _ in found]


def test_each_model_is_compared_with_itself(orders):
    made = [
        arm(method, LOST[method], model=model)
        for model, methods in (("m", ("cold", "random")), ("n", ("cold", "small")))
        for method in methods
    ]
    made += [arm("dense", level="0", model=model) for model in "mn"]
    found = contrasts(made, losses(made), Orders(orders), LEVEL)
    assert [(row["model"], *pairs([row])[0]) for row in found] == [
        ("m", "cold", "random"), ("n", "cold", "small")
    ]  # fmt: skip


def test_parts_add_up_to_random_less_coldest_in_both_scopes(arms, orders):
    found = decomposition(arms, losses(arms), Orders(orders), LEVEL)
    parts = {(row["scope"], row["part"]): row for row in found}
    assert list(parts) == [
        ("layer", "not hot"), ("layer", "order of coldness"),
        ("model", "layers"), ("model", "not hot"), ("model", "order of coldness"),
    ]  # fmt: skip
    sides = {key: (row["first"], row["second"]) for key, row in parts.items()}
    assert sides == {
        ("layer", "not hot"): ("random", "among_cold"),
        ("layer", "order of coldness"): ("among_cold", "cold"),
        ("model", "layers"): ("random", "as_model"),
        ("model", "not hot"): ("as_model", "cold_as_model"),
        ("model", "order of coldness"): ("cold_as_model", "cold_of_model"),
    }
    mean = {method: sum(lost) / 200 for method, lost in LOST.items()}
    for scope, coldest in (("layer", "cold"), ("model", "cold_of_model")):
        total = sum(row["estimate"] for key, row in parts.items() if key[0] == scope)
        assert total == pytest.approx(mean["random"] - mean[coldest])
        # Every part starts where the one before it ends.
        own = [sides[key] for key in parts if key[0] == scope]
        assert all(one[1] == other[0] for one, other in itertools.pairwise(own))
    for row in found:
        assert row["low"] <= row["estimate"] <= row["high"]
    assert parts["layer", "not hot"]["estimate"] == pytest.approx((40 + 20 - 10 - 4) / 200)
    assert parts["model", "layers"]["estimate"] == pytest.approx((40 + 20 - 33 - 11) / 200)


def test_a_part_without_one_of_its_sides_is_left_out(arms, orders):
    def parts(*missing):
        kept = [arm for arm in arms if arm.method not in missing]
        found = decomposition(kept, losses(kept), Orders(orders), LEVEL)
        return [(row["scope"], row["part"]) for row in found]

    assert parts("among_cold", "cold_of_model") == [("model", "layers"), ("model", "not hot")]
    assert parts("as_model", "among_cold") == [("model", "order of coldness")]
    assert parts("random", "as_model", "cold_as_model") == [("layer", "order of coldness")]


def test_the_part_of_the_layers_needs_no_coldest_by_layer(arms, orders):
    chosen = [order for order in orders if order.method not in ("cold", "cold_of_prose")]
    kept = [arm for arm in arms if arm.method not in ("cold", "cold_of_prose")]
    (row, *_) = decomposition(kept, losses(kept), Orders(chosen), LEVEL)
    sides = (row["scope"], row["part"], row["first"], row["second"])
    assert sides == ("model", "layers", "random", "as_model")


def test_random_neurons_of_every_layer_are_compared_from_the_same_token_on(arms, orders):
    late = {"cold_of_model", "as_model", "among_cold"}
    moved = [
        replace(order, sparse_from="continuation") if order.method in late else order
        for order in orders
    ]
    rows = decomposition(arms, losses(arms), Orders(moved), LEVEL)
    assert ("model", "layers") not in {(row["scope"], row["part"]) for row in rows}


def test_other_levels_and_studies_without_orders_have_no_parts(arms, orders):
    assert decomposition(arms, losses(arms), Orders(orders), "0.5") == []
    assert decomposition(arms, losses(arms), Orders([]), LEVEL) == []
    assert contrasts(arms, losses(arms), Orders([]), LEVEL) == []


def test_without_reasoning_tasks_nothing_is_compared(arms, orders):
    controls = losses(arms, reasoning=False)
    assert contrasts(arms, controls, Orders(orders), LEVEL) == []
    assert decomposition(arms, controls, Orders(orders), LEVEL) == []


def test_how_the_dense_model_stands_beside_chance():
    of_model = losses([arm("dense", (30, 10), level="0")])
    (row,) = dense_reasoning(of_model)
    assert (row["model"], row["n"], row["chance"]) == ("m", 200, pytest.approx(0.1))
    assert row["accuracy"] == pytest.approx(0.8)
    # One right and one wrong question are added to the hundred of each task.
    shares = [(right + 1) / 102 for right in (70, 90)]
    reach = 1.96 * sum(p * (1 - p) / 102 for p in shares) ** 0.5 / 2
    centre = sum(shares) / 2
    assert (row["low"], row["high"]) == pytest.approx((centre - reach, centre + reach), abs=0.002)
    assert dense_reasoning(losses([arm("dense", level="0")], reasoning=False)) == []
