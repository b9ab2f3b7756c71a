"""Rows of losses: what was removed, and intervals of what is corrected for chance."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm, Text, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import clusters
from pipeline.analysis.perplexity import perplexities
from pipeline.tables.curves import CURVES, PERPLEXITY

Z = 1.959964


@dataclass(frozen=True)
class Plain(Arm):
    """An arm whose sparsity is not asked for."""

    def achieved(self, tasks):
        return {}


def arm(method, *right):
    """An arm with a task `a`, `b`, ... for each of `right`, (seeds, items) or (items,)."""
    found = {name: np.atleast_2d(of).astype(bool) for name, of in zip("abc", right, strict=False)}
    seeds = len(next(iter(found.values())))
    return Plain("m", method, "0.5", seeds, found, {}, pl.DataFrame())


def losses(dense, chance=0.0, cluster=1, reasoning=True):
    of = {task: np.arange(right.shape[1]) // cluster for task, right in dense.right.items()}
    kinds = dict.fromkeys(dense.right, reasoning)
    return Losses(dense, kinds, dict.fromkeys(dense.right, chance), of, 0.95)


def first(count, of):
    """The first so many are right."""
    return np.arange(of) < count


def test_what_was_removed_is_the_mean_over_draws(condition, plan):
    right = {"sum": [1, 1, 0]}
    evaluated = [
        condition("random", "0.5", right, 0.5, seed=seed, plan=plan([5, 5], activity, share))
        for seed, activity, share in ((0, 0.2, 0.4), (1, 0.3, 0.5))
    ]
    evaluated += [
        condition("teal", "0.5", right, plan=plan(None)), condition("dense", "0", right)
    ]  # fmt: skip
    found, _ = arms(evaluated)
    of = Losses(found[-1], {"sum": True}, {"sum": 0.1}, clusters(evaluated[-1].samples), 0.95)
    rows = [of.row(one, "reasoning") for one in found]
    assert [row["activity_removed"] for row in rows] == [pytest.approx(0.25), None, None]
    assert [row["contribution_removed"] for row in rows] == [pytest.approx(0.45), None, None]
    assert CURVES.frame(rows).height == 3


def test_texts_tell_what_was_removed_too(condition, plan):
    made = condition("cold", "0.5", {"prose": [1, 1]}, plan=plan([5, 5], 0.2, 0.4))
    texts = {"prose": Text(np.array([[3.0, 4.0]]), np.array([2, 3]))}
    cold, dense = (
        Arm("m", method, "0.5", 1, {}, texts, made.sparsity, plans=plans)
        for method, plans in (("cold", (made.plan,)), ("dense", ()))
    )
    rows = perplexities([cold, dense], {"m": dense}, Resamples(0, 100, 0.95))
    assert [row["activity_removed"] for row in rows] == [0.2, None]
    assert [row["contribution_removed"] for row in rows] == [0.4, None]
    assert PERPLEXITY.frame(rows).height == 2


def test_a_loss_has_the_paired_interval_of_its_questions():
    # 20 of 98 lost: centre 20 / 100, variance (21 - 400 / 100) / 100^2.
    dense, cold = arm("dense", first(98, 98)), arm("cold", first(78, 98))
    row = losses(dense).row(cold, "reasoning")
    reach = Z * np.sqrt(17) / 100
    assert row["loss"] == pytest.approx(20 / 98)
    assert (row["loss_low"], row["loss_high"]) == pytest.approx((0.2 - reach, 0.2 + reach))
    assert row["n"] == 98


def test_a_difference_of_two_arms_is_paired_and_turns_round():
    dense = arm("dense", first(100, 100))
    one, other = arm("one", first(70, 100)), arm("other", first(60, 100))
    of = losses(dense)
    estimate, low, high = of.difference(one, other, "reasoning")
    assert estimate == pytest.approx(0.1) and low < 0.1 < high
    assert of.difference(other, one, "reasoning") == pytest.approx((-0.1, -high, -low))
    # Each lost far more than the ten questions on which they differ.
    lost = of.row(one, "reasoning")
    assert high - low < lost["loss_high"] - lost["loss_low"]
    assert of.difference(one, one, "reasoning") == (0, 0, 0)


def test_a_loss_lies_between_minus_one_and_one():
    dense, none = arm("dense", first(4, 4)), arm("none", first(0, 4))
    of = losses(dense)
    assert of.difference(dense, none, "reasoning")[2] == 1
    assert of.difference(none, dense, "reasoning")[1] == -1


def test_questions_of_one_cluster_count_once():
    right = np.random.default_rng(0).random(60) < 0.7
    dense = arm("dense", first(60, 60))
    once = losses(dense).row(arm("cold", right), "reasoning")
    twice = arm("dense", first(120, 120))
    again = losses(twice, cluster=2).row(arm("cold", np.repeat(right, 2)), "reasoning")
    for name in ("loss", "loss_low", "loss_high", "corrected_low", "corrected_high"):
        assert again[name] == pytest.approx(once[name])


def test_the_corrected_interval_by_hand_where_the_dense_model_gets_all_right():
    # Half is chance, so all is twice as much; 20 of 98 lost is 20 of 100 with the two added, and
    # 20 * 0.8^2 + 78 * 0.2^2 + 1.2^2 / 2 + 0.8^2 / 2 + 0.2^2 = 17.
    dense, cold = arm("dense", first(98, 98)), arm("cold", first(78, 98))
    row = losses(dense, chance=0.5).row(cold, "reasoning")
    ratio, centre, reach = 2 * 20 / 98, 2 * 20 / 100, 2 * Z * np.sqrt(17) / 100
    assert row["corrected_loss"] == pytest.approx(ratio)
    ends = row["corrected_low"], row["corrected_high"]
    assert ends == pytest.approx((centre - reach, centre + reach))


def test_a_model_that_loses_all_it_had_has_lost_all_whatever_it_had():
    """The dense accuracy varies with the questions, and the loss with it; their ratio does not."""
    dense, none = arm("dense", first(60, 98)), arm("none", first(0, 98))
    row = losses(dense).row(none, "reasoning")
    # Every question lost what there was; only the two added ones lie elsewhere.
    reach = Z * np.sqrt(98 * (60 / 98 - 0.6) ** 2 + 1 + 2 * 0.6**2) / 100 / (60 / 98)
    ends = row["corrected_low"], row["corrected_high"]
    assert ends == pytest.approx((0.98 - reach, 0.98 + reach))
    assert row["loss_high"] - row["loss_low"] > 4 * reach


def test_the_dense_model_has_lost_nothing_without_a_doubt():
    row = losses(dense := arm("dense", first(60, 98)), chance=0.2).row(dense, "reasoning")
    names = ("loss", "loss_low", "loss_high", "corrected_loss", "corrected_low", "corrected_high")
    assert [row[name] for name in names] == [0] * 6


def test_room_is_what_lies_above_chance_and_none_where_that_is_not_clear():
    dense = arm("dense", first(75, 100), first(50, 100))
    assert losses(dense, chance=0.25).room("reasoning") == pytest.approx(0.625 - 0.25)
    assert losses(dense, chance=0.6).room("reasoning") is None
    assert losses(dense, chance=0.6).room("a") == pytest.approx(0.15)
    row = losses(dense, chance=0.6).row(arm("cold", first(60, 100), first(40, 100)), "reasoning")
    assert row["corrected_loss"] is row["corrected_low"] is row["corrected_high"] is None


def test_controls_have_no_mean():
    of = losses(arm("dense", first(5, 6)), reasoning=False)
    assert set(of.tasks) == {"a"} and of.controls == {"a"}


def studies(seeds, spread, count=1000):
    """Rows of studies: 100 questions of which the dense model gets nine in ten right, and a draw
    two in three of those."""
    generator = np.random.default_rng(seeds)
    for _ in range(count):
        dense = generator.random(100) < 0.9
        kept = np.clip(2 / 3 + spread * generator.standard_normal((seeds, 1)), 0, 1)
        cold = dense & (generator.random((seeds, 100)) < kept)
        yield losses(arm("dense", dense), chance=0.25).row(arm("cold", cold), "reasoning")


@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (5, 0.1)])
def test_intervals_of_losses_and_of_corrected_losses_cover_as_they_say(seeds, spread):
    rows = list(studies(seeds, spread))
    for name, truth in (("loss", 0.3), ("corrected", 0.3 / 0.65)):
        inside = [row[f"{name}_low"] <= truth <= row[f"{name}_high"] for row in rows]
        assert 0.925 <= np.mean(inside) <= 0.985
