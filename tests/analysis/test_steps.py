"""Answers that stay right by number of steps, beside what equal steps would leave."""

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm
from pipeline.analysis.steps import equal_steps, of_steps
from pipeline.tables.correlations import STEPS

COUNTS = np.tile(np.arange(2, 8), 100)


def dense(task="sum", steps=COUNTS, correct=None, reasoning=True, hashes=None):
    """SAMPLES of a dense run, as far as they are read."""
    size = len(steps)
    return pl.DataFrame(
        {
            "task": [task] * size,
            "item": np.arange(size),
            "cluster": list(map(str, range(size))) if hashes is None else hashes,
            "steps": steps,
            "reasoning": [reasoning] * size,
            "correct": np.ones(size, dtype=bool) if correct is None else correct,
        }
    )


def arm(right, task="sum", method="cold"):
    right = np.atleast_2d(right).astype(bool)
    return Arm("m", method, "0.25", len(right), {task: right}, {}, pl.DataFrame())


def rows(pruned, asked, chance=0.0):
    levels = {(t, int(k)): chance for t in asked["task"].unique() for k in asked["steps"].unique()}
    return of_steps([pruned], {"m": asked}, {"m": levels}, 0.95)


def failing(survives, chance=0.0, seeds=1, seed=0):
    """Questions each of whose steps is got right so often, or else the answer is by chance."""
    generator = np.random.default_rng(seed)
    right = chance + (1 - chance) * survives**COUNTS
    return arm(generator.random((seeds, len(COUNTS))) < right)


def test_shares_by_hand():
    # Of two steps 3 of 4 stay right, of three 1 of 2; what the dense model gets wrong is left out.
    asked = dense(
        steps=np.array([2, 2, 2, 2, 3, 3, 3]), correct=np.array([1] * 6 + [0], dtype=bool)
    )
    found = rows(arm([1, 1, 1, 0, 1, 0, 1]), asked)
    assert STEPS.frame(found).height == 2
    assert [(row["steps"], row["questions"], row["stayed"]) for row in found] == [
        (2, 4, 0.75), (3, 2, 0.5)
    ]  # fmt: skip
    assert {(row["model"], row["method"], row["level"], row["task"]) for row in found} == {
        ("m", "cold", "0.25", "sum")
    }


def test_one_p_that_fits_is_found():
    # 0.9 to the power of 1, 2 and 4.
    steps = np.array([1, 2, 4])
    stayed = np.array([0.9, 0.81, 0.6561])
    found = equal_steps(steps, stayed, np.array([100, 100, 100]), np.zeros(3))
    assert found == pytest.approx(stayed, abs=0.01)


def test_what_chance_gives_back_is_allowed_for():
    # A quarter is right by chance: 1/4 + 3/4 * 0.8^k is 0.85 and 0.73.
    steps, chance = np.array([1, 2]), np.full(2, 0.25)
    found = equal_steps(steps, np.array([0.85, 0.73]), np.array([50, 50]), chance)
    assert found == pytest.approx([0.85, 0.73], abs=0.01)
    # All is lost: what is left is chance, where it is not allowed for nothing.
    lost = equal_steps(np.array([1, 6]), np.array([0.25, 0.25]), np.array([400, 400]), chance)
    assert lost == pytest.approx([0.25, 0.25], abs=0.01)


def test_counts_weigh_by_their_questions():
    # 99 of 100 of one step stay, none of a single question of two: the many decide.
    found = equal_steps(np.array([1, 2]), np.array([0.99, 0.0]), np.array([100, 1]), np.zeros(2))
    assert found[0] > 0.96 and found[1] == pytest.approx(found[0] ** 2)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_or_everything_lost_is_expected_as_it_is(share):
    found = equal_steps(np.array([1, 5]), np.full(2, share), np.array([20, 20]), np.zeros(2))
    assert found == pytest.approx([share, share], abs=2e-3)


@pytest.mark.parametrize("chance", [0.0, 0.5])
def test_steps_that_fail_alike_stay_near_what_is_expected(chance):
    found = rows(failing(0.85, chance), dense(), chance)
    assert len(found) == 6
    for row in found:
        assert row["low"] <= row["stayed"] <= row["high"]
        assert row["expected"] == pytest.approx(
            chance + (1 - chance) * 0.85 ** row["steps"], abs=0.03
        )
    inside = [row["low"] <= row["expected"] <= row["high"] for row in found]
    assert sum(inside) >= 5


def test_steps_that_do_not_matter_depart_from_it():
    """Three questions in five stay right, however many steps they need."""
    found = rows(arm(np.random.default_rng(0).random(len(COUNTS)) < 0.6), dense())
    assert found[0]["expected"] > found[0]["high"]
    assert found[-1]["expected"] < found[-1]["low"]


def test_several_seeds_are_pooled_and_their_variance_widens_the_interval():
    generator = np.random.default_rng(0)
    able = np.array([0.5, 0.6, 0.7, 0.8, 0.9])[:, None]
    seeds = generator.random((5, len(COUNTS))) < able
    one = generator.random((1, len(COUNTS))) < 0.7
    wide, narrow = (rows(arm(right), dense())[0] for right in (seeds, one))
    assert wide["stayed"] == pytest.approx(0.7, abs=0.06)
    assert wide["high"] - wide["low"] > 1.3 * (narrow["high"] - narrow["low"])


def test_ends_stay_within_shares_and_hold_a_width():
    first, *_, last = rows(arm(COUNTS < 5), dense())
    assert first["stayed"] == first["high"] == 1 and 0.9 < first["low"] < 1
    assert last["stayed"] == last["low"] == 0 and 0 < last["high"] < 0.1


def test_a_question_that_is_asked_twice_counts_once():
    twice = dense(steps=np.repeat(COUNTS, 2), hashes=[str(i // 2) for i in range(1200)])
    right = failing(0.85).right["sum"]
    once = rows(arm(right), dense())
    again = rows(arm(np.repeat(right, 2, axis=1)), twice)
    for one, other in zip(once, again, strict=True):
        assert (other["low"], other["high"]) == pytest.approx((one["low"], one["high"]))
        assert other["questions"] == 2 * one["questions"]


def test_nothing_is_told_of_one_step_count_of_controls_or_of_texts():
    right = failing(0.85)
    assert rows(right, dense(steps=np.full(600, 3))) == []
    assert rows(right, dense(reasoning=False)) == []
    assert rows(right, dense(task="prose")) == []
    assert rows(right, dense(steps=np.zeros(600, dtype=int))) == []


def test_step_counts_that_the_dense_model_never_gets_right_are_left_out():
    assert [row["steps"] for row in rows(failing(0.85), dense(correct=COUNTS < 4))] == [2, 3]
    assert rows(failing(0.85), dense(correct=COUNTS < 3)) == []
