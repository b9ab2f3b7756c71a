"""The paired bootstrap against plain loops and closed forms."""

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.bootstrap import Resamples, interval


def test_weights_are_shares_of_whole_draws():
    weights = Resamples(3, 50).items("task", 7)
    counts = weights * 7
    assert weights.shape == (50, 7)
    assert np.allclose(counts, counts.round())
    assert np.allclose(weights.sum(axis=1), 1)


def test_accuracy_is_the_mean_over_drawn_seeds_and_items():
    right = np.array([[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 1, 0]], dtype=bool)
    resamples = Resamples(0, 20)
    drawn = resamples.accuracy("task", "method", right)
    items = (resamples.items("task", 4) * 4).round().astype(int)
    seeds = (resamples.seeds("method", 3) * 3).round().astype(int)
    for index in range(20):
        cells = [
            right[s, i]
            for s in np.repeat(np.arange(3), seeds[index])
            for i in np.repeat(np.arange(4), items[index])
        ]
        assert drawn[index] == pytest.approx(np.mean(cells))


def test_names_and_seed_decide_the_draws():
    assert np.array_equal(Resamples(1, 9).items("a", 5), Resamples(1, 9).items("a", 5))
    assert not np.array_equal(Resamples(1, 9).items("a", 5), Resamples(1, 9).items("b", 5))
    assert not np.array_equal(Resamples(1, 9).items("a", 5), Resamples(2, 9).items("a", 5))


def test_interval_agrees_with_an_independent_bootstrap():
    generator = np.random.default_rng(0)
    before = generator.random(200) < 0.9
    after = before & (generator.random(200) < 0.7)
    resamples = Resamples(0, 8000)
    draws = resamples.accuracy("t", "d", before[None]) - resamples.accuracy("t", "m", after[None])
    ours = interval(float(before.mean() - after.mean()), draws, 200, 0.95)
    scipys = stats.bootstrap(
        (before.astype(float), after.astype(float)),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, method="percentile", n_resamples=8000, rng=1,
    ).confidence_interval  # fmt: skip
    assert ours == pytest.approx((scipys.low, scipys.high), abs=0.006)


def test_pairing_narrows_the_interval():
    generator = np.random.default_rng(0)
    before = generator.random(300) < 0.5
    after = before.copy()
    after[:6] = ~after[:6]
    resamples = Resamples(0, 2000)
    paired = resamples.accuracy("t", "d", before[None]) - resamples.accuracy("t", "m", after[None])
    apart = resamples.accuracy("t", "d", before[None]) - resamples.accuracy("u", "m", after[None])
    assert paired.std() < apart.std() / 4


def test_seeds_that_disagree_widen_the_interval():
    seeds = np.zeros((4, 100), dtype=bool)
    seeds[:2] = True
    one = np.zeros((1, 100), dtype=bool)
    one[:, :50] = True
    resamples = Resamples(0, 2000)
    assert (
        resamples.accuracy("t", "four", seeds).std() > 3 * resamples.accuracy("t", "one", one).std()
    )


@pytest.mark.parametrize("estimate", [0.0, 1.0, -1.0])
def test_resamples_that_all_agree_get_the_exact_binomial_bound(estimate):
    low, high = interval(estimate, np.full(100, estimate), 50, 0.95)
    bound = stats.binomtest(0, 50).proportion_ci(0.95, method="exact").high
    assert low == pytest.approx(max(-1, estimate - bound))
    assert high == pytest.approx(min(1, estimate + bound))
