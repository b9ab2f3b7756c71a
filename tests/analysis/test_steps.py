"""The exponent of the number of steps, recovered from questions that fail by a known law."""

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.steps import EXPONENTS, of_items

STEPS = np.tile(np.arange(2, 8), 100)


def dense(task="sum", steps=STEPS, correct=None):
    """SAMPLES of a dense run, as far as they are read."""
    size = len(steps)
    return pl.DataFrame(
        {
            "task": [task] * size,
            "item": np.arange(size),
            "steps": steps,
            "reasoning": [True] * size,
            "correct": np.ones(size, dtype=bool) if correct is None else correct,
        }
    )


def arm(rate, exponent, chance=0.0, seeds=1, seed=0, task="sum"):
    generator = np.random.default_rng(seed)
    right = chance + (1 - chance) * np.exp(-rate * STEPS**exponent)
    drawn = generator.random((seeds, len(STEPS))) < right
    return Arm("m", "cold", "0.25", seeds, {task: drawn}, {}, pl.DataFrame())


def chances(level=0.0, task="sum"):
    return {(task, int(steps)): level for steps in np.unique(STEPS)}


@pytest.mark.parametrize("chance", [0.0, 0.5])
@pytest.mark.parametrize(("rate", "exponent"), [(0.15, 1.0), (0.01, 2.5), (0.7, 0.0), (3e-4, 3.5)])
def test_the_exponent_is_recovered_with_and_without_chance(rate, exponent, chance):
    row = of_items(arm(rate, exponent, chance), dense(), chances(chance), Resamples(0, 300, 0.95))
    assert row["low"] <= exponent <= row["high"]
    assert row["low"] <= row["estimate"] <= row["high"]
    assert row["high"] - row["low"] < 2
    assert (row["level"], row["condition"], row["units"]) == ("item", "0.25", 600)


def test_intervals_cover_the_null_as_often_as_they_say():
    covered = 0
    for study in range(60):
        row = of_items(arm(0.15, 1.0, seed=study), dense(), chances(), Resamples(study, 200, 0.95))
        covered += row["low"] <= 1.0 <= row["high"]
    assert covered >= 53


def test_tasks_share_the_exponent_and_not_the_rate():
    easy, hard = arm(0.05, 1.0, seed=1), arm(0.4, 1.0, seed=2, task="logic")
    both = Arm("m", "cold", "0.25", 1, {**easy.right, **hard.right}, {}, pl.DataFrame())
    frame = pl.concat([dense("logic"), dense("sum")])
    row = of_items(both, frame, chances() | chances(task="logic"), Resamples(0, 300, 0.95))
    assert row["low"] <= 1.0 <= row["high"] and row["high"] - row["low"] < 0.8
    assert row["units"] == 1200


def test_questions_that_the_dense_model_gets_wrong_do_not_count():
    correct = np.arange(len(STEPS)) % 2 == 0
    row = of_items(arm(0.15, 1.0), dense(correct=correct), chances(), Resamples(0, 200, 0.95))
    assert row["units"] == 300


@pytest.mark.parametrize("rate", [0.0, 50.0])
def test_nothing_is_said_where_nothing_or_everything_flips(rate):
    assert of_items(arm(rate, 1.0), dense(), chances(), Resamples(0, 200, 0.95)) is None


def test_several_seeds_are_one_row_and_widen_it():
    row = of_items(arm(0.15, 1.0, seeds=5), dense(), chances(), Resamples(0, 300, 0.95))
    assert row["low"] <= 1.0 <= row["high"]
    assert EXPONENTS[0] <= row["low"] and row["high"] <= EXPONENTS[-1]


def test_a_task_of_one_step_count_says_nothing():
    only = dense(steps=np.full(600, 3))
    assert of_items(arm(0.15, 1.0), only, {("sum", 3): 0.0}, Resamples(0, 200, 0.95)) is None
