"""Pairing conditions with their dense run."""

import dataclasses

import polars as pl
import pytest

from pipeline.analysis.arms import Evaluated, arms
from pipeline.errors import UserError

RIGHT = {"sum": [1, 1, 0], "copying": [1, 1, 1]}


def test_seeds_of_one_level_become_one_arm(condition):
    found, refused = arms(
        [
            condition("random", "0.5", {"sum": [1, 0, 0], "copying": [1, 1, 1]}, 0.5, seed=0),
            condition("random", "0.5", {"sum": [0, 1, 0], "copying": [1, 1, 0]}, 0.5, seed=1),
            condition("dense", "0", RIGHT),
        ]
    )
    arm = found[0]
    assert (arm.method, arm.level, arm.seeds) == ("random", "0.5", 2)
    assert arm.right["sum"].tolist() == [[True, False, False], [False, True, False]]
    assert arm.accuracy("sum") == pytest.approx(1 / 3)
    assert refused == []


def test_items_pair_by_index_and_not_by_row(condition):
    shuffled = condition("cold", "0.5", {"sum": [1, 0, 0], "copying": [1, 1, 1]}, 0.5)
    shuffled = Evaluated(
        "m", "cold", "0.5", 0, shuffled.samples.sample(fraction=1, shuffle=True, seed=1),
        shuffled.sparsity,
    )  # fmt: skip
    found, _ = arms([shuffled, condition("dense", "0", RIGHT)])
    assert found[0].right["sum"].tolist() == [[True, False, False]]


@pytest.mark.parametrize("column", ["item_hash", "prompt_hash"])
def test_other_items_or_prompts_are_refused(condition, column):
    good = condition("cold", "0.5", RIGHT, 0.5)
    changed = good.samples.with_columns(
        pl.when(pl.col("item") == 1).then(pl.lit("other")).otherwise(pl.col(column)).alias(column)
    )
    bad = Evaluated("m", "cold", "0.5", 0, changed, good.sparsity)
    with pytest.raises(UserError, match=r"cold at 0\.5, seed 0: not the items or prompts"):
        arms([bad, condition("dense", "0", RIGHT)])


def test_a_missing_item_is_refused(condition):
    short = condition("cold", "0.5", {"sum": [1, 1], "copying": [1, 1, 1]}, 0.5)
    with pytest.raises(UserError, match="not the items"):
        arms([short, condition("dense", "0", RIGHT)])


def test_refused_conditions_come_with_their_reason(condition):
    found, refused = arms(
        [
            condition("keep_cold", "0.9", RIGHT, refused="beyond the hot set"),
            condition("dense", "0", RIGHT),
        ]
    )
    assert [arm.method for arm in found] == ["dense"]
    assert refused == [
        {"model": "m", "method": "keep_cold", "level": "0.9", "seed": 0,
         "reason": "beyond the hot set"}
    ]  # fmt: skip


def test_achieved_sparsity_weighs_tasks_by_their_tokens(condition):
    found, _ = arms([condition("cold", "0.5", RIGHT, 0.5), condition("dense", "0", RIGHT)])
    rows = found[0].sparsity.with_columns(
        neuron_sparsity=pl.when(pl.col("task") == "sum").then(0.2).otherwise(0.5)
    )
    arm = dataclasses.replace(found[0], sparsity=rows)
    # 100 tokens of sum, 200 of copying.
    assert arm.achieved(["sum", "copying"])["neuron_sparsity_imposed"] == pytest.approx(0.4)
