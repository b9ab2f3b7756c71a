"""Shares and unevenness, by hand and against their definitions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.numerics.concentration import carried, gini, smallest

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=30).map(
    lambda counts: np.array(sorted(counts, reverse=True))
)
SHARES = st.integers(1, 99).map(lambda hundredths: hundredths / 100)


@pytest.mark.parametrize(
    ("counts", "share", "hot"),
    [
        ([50, 30, 15, 5], 0.8, 2),  # 50 + 30 is 80 of 100, exactly
        ([50, 30, 15, 5], 0.81, 3),
        ([50, 30, 15, 5], 0.5, 1),
        ([50, 30, 15, 5], 0.99, 4),
        ([4, 3, 2, 1], 0.8, 3),  # 4 + 3 + 2 is 9 of 10
        ([1, 1, 1, 1], 0.5, 2),
        ([7], 0.01, 1),
        ([5, 0, 0, 0], 0.99, 1),
        ([0, 0, 0], 0.8, 0),
    ],
)
def test_coverage_by_hand(counts, share, hot):
    assert smallest(np.array(counts), share) == hot


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_coverage_of_equal_counts_is_the_share_itself(hundredths):
    # 28 of 100 equal neurons carry exactly 0.28, though 0.28 * 100 is above 28 in floats.
    assert smallest(np.ones(100, dtype=int), hundredths / 100) == hundredths


@given(COUNTS, SHARES)
def test_the_coverage_set_is_the_smallest_that_carries_the_share(counts, share):
    hot = smallest(counts, share)
    total, wanted = int(counts.sum()), Fraction(str(share))
    assert int(counts[:hot].sum()) >= wanted * total
    if hot:
        assert int(counts[: hot - 1].sum()) < wanted * total


def test_amounts_that_are_no_counts_reach_a_share_up_to_rounding():
    # 0.1 + 0.7 is 0.7999999999999999 in floats.
    assert smallest(np.array([0.7, 0.1, 0.1, 0.1]), 0.8) == 2


def test_gini_by_hand():
    assert gini(np.array([2.0, 2.0, 2.0])) == 0
    assert gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)
    # Mean absolute difference over twice the mean: (2 * (1 + 2 + 1) / 9) / (2 * 2).
    assert gini(np.array([1.0, 2.0, 3.0])) == pytest.approx((8 / 9) / 4)
    assert gini(np.zeros(3)) == gini(np.array([])) == 0


@given(COUNTS)
def test_gini_is_half_the_mean_difference_over_the_mean(counts):
    wanted = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean()) if counts.any() else 0
    assert gini(counts) == pytest.approx(wanted)


def test_what_is_carried_by_hand():
    shares = np.array([0, 0.25, 0.5, 0.625, 1])
    assert carried(np.array([50, 30, 15, 5]), shares).tolist() == [0, 0.5, 0.8, 0.875, 1]
    assert carried(np.zeros(4), shares).tolist() == [0] * 5


def test_gini_of_a_large_model_does_not_overflow():
    counts = np.random.default_rng(0).integers(0, 10**8, 458_752)
    assert gini(counts) == pytest.approx(1 / 3, abs=0.01)
