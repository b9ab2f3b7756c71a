"""The best constant answer, worked out by hand."""

import polars as pl
import pytest

from pipeline.analysis.chance import chance

ITEMS = pl.DataFrame(
    {
        "task": ["a"] * 5 + ["b"] * 2,
        "steps": [1, 1, 1, 2, 2, 0, 0],
        "target": ["T", "T", "F", "T", "F", "x", "y"],
    }
)


def test_best_constant_answer_per_step_count():
    by_steps = {(t, s): c for t, s, c in chance(ITEMS, ITEMS, ("task", "steps")).iter_rows()}
    assert by_steps == pytest.approx({("a", 1): 2 / 3, ("a", 2): 1 / 2, ("b", 0): 1 / 2})


def test_a_task_takes_the_best_answer_of_each_step_count():
    # Steps 1: T is right twice; steps 2: either is right once. 3 of 5, though F wins neither.
    assert dict(chance(ITEMS, ITEMS).iter_rows()) == pytest.approx({"a": 3 / 5, "b": 1 / 2})


def test_every_answer_different_is_one_in_n():
    items = pl.DataFrame({"task": ["a"] * 4, "steps": [3] * 4, "target": list("pqrs")})
    assert chance(items, items)["chance"].item() == pytest.approx(0.25)


def test_step_counts_weigh_as_they_were_evaluated_and_answers_as_they_stand_in_all_items():
    # Three items of two steps and one of one step: (2/3 + 3 * 1/2) / 4.
    evaluated = pl.DataFrame({"task": ["a"] * 4, "steps": [1, 2, 2, 2]})
    assert dict(chance(ITEMS, evaluated).iter_rows()) == pytest.approx({"a": (2 / 3 + 1.5) / 4})
