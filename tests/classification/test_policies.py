"""Hot/cold policies: hand-worked sets, and bounds that every policy keeps."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.budget import Budget
from pipeline.classification.classify import classify
from pipeline.config.classification import Classification
from pipeline.registry import POLICIES

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=30).map(
    lambda counts: np.array(sorted(counts, reverse=True))
)
SHARES = st.integers(1, 99).map(lambda hundredths: hundredths / 100)


@pytest.mark.parametrize(
    ("size", "share", "hot"),
    [(4, 0.5, 2), (10, 0.2, 2), (10, 0.26, 3), (10, 0.24, 2), (3, 0.01, 0)],
)
def test_budget_by_hand(size, share, hot):
    given = evidence(np.arange(size))
    config = Classification(policy="budget", share=share)
    assert Budget().hot_count(np.arange(size)[::-1], given, config, np.arange(size)) == hot


def evidence(active, other=None, rise=None):
    """One layer whose neurons are active at so many of 100 tokens, and write ever less for it."""

    def frame(counts):
        index = np.arange(len(counts))
        return pl.DataFrame(
            {
                "layer": np.zeros_like(index),
                "neuron": index,
                "tokens": np.full_like(index, 100),
                "active": counts,
                "active_cett": np.array(counts) // 2,
                "sum_abs": 2.0 * np.array(counts),
                "sum_contribution": np.array(counts) / (1.0 + index),
            }
        )

    return PolicyEvidence(frame(active), None if other is None else frame(other), rise)


def hot(policy, given, **options):
    """Indices of the hot neurons."""
    columns, _ = classify(given, Classification(policy=policy, **options), exact_zeros=True)
    return np.flatnonzero(columns["hot"]).tolist()


def test_activity_is_what_the_policy_says_by_hand():
    given = evidence([10, 20, 30, 40])
    # Contributions 10, 10, 10, 10: equal ones come in a fixed order that is not the index'.
    assert hot("coverage", given, share=0.7) == hot("magnitude", given, share=0.7) == [2, 3]
    assert len(hot("contribution", given, share=0.7)) == 3
    assert hot("contribution", evidence([10, 4, 3, 4]), share=0.8) == [0, 1]
    # Halves, rounded down: 0, 0, 1, 1, 5.
    assert hot("cett", evidence([1, 1, 2, 3, 10]), share=0.9) != hot(
        "coverage", evidence([1, 1, 2, 3, 10]), share=0.9
    )


def test_stability_keeps_what_is_hot_on_both_by_hand():
    # By coverage of 0.7: {2, 3} of the one corpus and {1, 3} of the other.
    given = evidence([10, 20, 30, 40], other=[5, 35, 10, 50])
    assert hot("coverage", evidence([5, 35, 10, 50]), share=0.7) == [1, 3]
    assert hot("stability", given, share=0.7) == [3]
    columns, _ = classify(given, Classification(policy="stability", share=0.7, other="x"), True)
    # Hot sets of two; ranks 4, 3, 2, 1 and 4, 2, 3, 1.
    assert columns["score"].tolist() == [2 / 4, 2 / 3, 2 / 3, 2.0]


def test_stability_with_the_same_corpus_is_coverage():
    counts = np.random.default_rng(0).integers(0, 50, 60)
    given = evidence(counts, other=counts)
    assert hot("stability", given, share=0.6) == hot("coverage", given, share=0.6)


def test_profiles_of_a_policy_pair_by_neuron_and_never_by_place():
    given = evidence([10, 20, 30, 40], other=[5, 35, 10, 50])
    mixed = PolicyEvidence(given.neurons).beside(
        given.other.sample(fraction=1, shuffle=True, seed=1)
    )
    assert mixed.other.equals(given.other)
    with pytest.raises(ValueError, match="not cover the same"):
        PolicyEvidence(given.neurons).beside(given.other.head(3))


@pytest.mark.parametrize("rise", [0.05, 0.2, 0.5])
def test_perplexity_takes_as_many_as_the_rise_allows(rise):
    """Each neuron costs what it is active, in thousandths of a nat."""
    counts = np.random.default_rng(3).permutation(np.arange(1, 41))
    tried = []

    def cost(removed):
        tried.append(removed.sum())
        return counts[removed].sum() / 1000

    kept = hot("perplexity", evidence(counts, rise=cost), rise=rise, other="held-out")
    cold = np.setdiff1d(np.arange(40), kept)
    allowed = np.cumsum(np.arange(1, 41)) / 1000 <= math.log1p(rise)
    assert cold.size == allowed.sum() and sorted(counts[cold]) == list(range(1, cold.size + 1))
    assert len(tried) < 10


def test_perplexity_without_any_cost_leaves_nothing_hot():
    given = evidence([1, 2, 3], rise=lambda removed: 0.0)
    assert hot("perplexity", given, rise=0.01, other="held-out") == []


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"perplexity"}))
@given(counts=COUNTS, first=SHARES, second=SHARES)
def test_a_larger_share_never_makes_fewer_hot(name, counts, first, second):
    small, large = sorted([first, second])
    other = counts[::-1] if "other" in POLICIES.load(name).options else None
    given = evidence(counts, other)
    assert set(hot(name, given, share=small)) <= set(hot(name, given, share=large))
