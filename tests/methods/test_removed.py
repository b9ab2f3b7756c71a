"""What removed neurons did in the dense model, by hand."""

import numpy as np
import polars as pl
import pytest

from pipeline.methods.plan import Plan
from pipeline.methods.removed import with_activity

#: Two layers of two neurons, in no order; 10 active pairs, contributions of 8.
PROFILE = pl.DataFrame(
    {
        "layer": [1, 0, 1, 0],
        "neuron": [1, 0, 0, 1],
        "active": [4, 1, 2, 3],
        "sum_contribution": [0.5, 4.0, 1.5, 2.0],
    }
)


def plan(dropped):
    arrays = {"sparsifier/dropped": np.array(dropped, dtype=np.uint8)}
    return Plan({"sparsifier": {"name": "drop_cold", "options": {}}}, "0.5", 0, arrays)


def test_shares_of_activity_and_contribution_by_hand():
    found = with_activity(plan([[0, 1], [0, 1]]), PROFILE)
    assert found.activity_removed == (3 + 4) / 10
    assert found.contribution_removed == (2.0 + 0.5) / 8


def test_nothing_and_all():
    assert with_activity(plan([[0, 0], [0, 0]]), PROFILE).activity_removed == 0
    assert with_activity(plan([[1, 1], [1, 1]]), PROFILE).contribution_removed == 1


def test_a_text_on_which_nothing_is_active():
    silent = PROFILE.with_columns(active=0, sum_contribution=0.0)
    assert with_activity(plan([[1, 1], [0, 0]]), silent).activity_removed == 0


def test_plans_that_remove_none_are_left_as_they_are():
    refused = Plan({}, "0.5", 0, refused="why")
    skips = Plan({}, "0.5", 0, {"sparsifier/thresholds": np.zeros(2)})
    assert with_activity(refused, PROFILE) is refused and with_activity(skips, PROFILE) is skips


def test_a_profile_of_another_model_is_an_error():
    with pytest.raises(ValueError, match="a profile of 4 neurons for a plan of 6"):
        with_activity(plan([[0, 1, 0], [0, 1, 0]]), PROFILE)
