"""Hot/cold policies: hand-worked sets, and bounds that every policy keeps."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classification.budget import Budget
from pipeline.classification.coverage import Coverage
from pipeline.registry import POLICIES

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
    assert Coverage().hot_count(np.array(counts), share) == hot


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_coverage_of_equal_counts_is_the_share_itself(hundredths):
    # 28 of 100 equal neurons carry exactly 0.28, though 0.28 * 100 is above 28 in floats.
    assert Coverage().hot_count(np.ones(100, dtype=int), hundredths / 100) == hundredths


@given(COUNTS, SHARES)
def test_the_coverage_set_is_the_smallest_that_carries_the_share(counts, share):
    hot = Coverage().hot_count(counts, share)
    total, wanted = int(counts.sum()), Fraction(str(share))
    assert int(counts[:hot].sum()) >= wanted * total
    if hot:
        assert int(counts[: hot - 1].sum()) < wanted * total


@pytest.mark.parametrize(
    ("size", "share", "hot"),
    [(4, 0.5, 2), (10, 0.2, 2), (10, 0.26, 3), (10, 0.24, 2), (3, 0.01, 0)],
)
def test_budget_by_hand(size, share, hot):
    assert Budget().hot_count(np.arange(size)[::-1], share) == hot


@pytest.mark.parametrize("name", POLICIES)
@given(counts=COUNTS, share=SHARES)
def test_a_policy_keeps_within_bounds_and_is_deterministic(name, counts, share):
    policy = POLICIES.load(name)()
    hot = policy.hot_count(counts, share)
    assert isinstance(hot, int) and 0 <= hot <= counts.size
    assert POLICIES.load(name)().hot_count(counts.copy(), share) == hot


@pytest.mark.parametrize("name", POLICIES)
@given(counts=COUNTS, first=SHARES, second=SHARES)
def test_a_larger_share_never_makes_fewer_hot(name, counts, first, second):
    policy = POLICIES.load(name)()
    small, large = sorted([first, second])
    assert policy.hot_count(counts, small) <= policy.hot_count(counts, large)
