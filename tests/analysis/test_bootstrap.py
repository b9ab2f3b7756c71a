"""The paired bootstrap against plain loops and closed forms."""

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis.bootstrap import Resamples, stretch


def means(resamples, task, method, values):
    """Means in every resample of texts of one token each."""
    return resamples.mean(task, method, values.astype(float), np.ones(values.shape[1]))


def test_weights_are_shares_of_whole_draws():
    weights = Resamples(3, 50, 0.95).texts("task", 7)
    counts = weights * 7
    assert weights.shape == (50, 7)
    assert np.allclose(counts, counts.round())
    assert np.allclose(weights.sum(axis=1), 1)


def test_the_mean_is_the_sum_over_drawn_seeds_and_texts_by_their_sizes():
    nats = np.array([[3.0, 1.0, 4.0, 1.0], [5.0, 9.0, 2.0, 6.0], [5.0, 3.0, 5.0, 8.0]])
    sizes = np.array([2, 7, 1, 8])
    resamples = Resamples(0, 20, 0.95)
    drawn = resamples.mean("task", "method", nats, sizes)
    texts = (resamples.texts("task", 4) * 4).round().astype(int)
    seeds = (resamples.seeds("method", 3) * 3).round().astype(int)
    for index in range(20):
        chosen = np.repeat(np.arange(4), texts[index])
        by_seed = [nats[seed, chosen].sum() / sizes[chosen].sum() for seed in range(3)]
        of_drawn = [by_seed[seed] for seed in np.repeat(np.arange(3), seeds[index])]
        stretched = np.mean(by_seed) + stretch(3, 0.95) * (np.mean(of_drawn) - np.mean(by_seed))
        assert drawn[index] == pytest.approx(stretched)


def test_names_and_seed_decide_the_draws():
    assert np.array_equal(Resamples(1, 9, 0.95).texts("a", 5), Resamples(1, 9, 0.95).texts("a", 5))
    assert not np.array_equal(
        Resamples(1, 9, 0.95).texts("a", 5), Resamples(1, 9, 0.95).texts("b", 5)
    )
    assert not np.array_equal(
        Resamples(1, 9, 0.95).texts("a", 5), Resamples(2, 9, 0.95).texts("a", 5)
    )


def test_interval_agrees_with_an_independent_bootstrap():
    generator = np.random.default_rng(0)
    before = generator.random(200) < 0.9
    after = before & (generator.random(200) < 0.7)
    resamples = Resamples(0, 8000, 0.95)
    draws = means(resamples, "t", "d", before[None]) - means(resamples, "t", "m", after[None])
    ours = tuple(np.quantile(draws, [0.025, 0.975]))
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
    resamples = Resamples(0, 2000, 0.95)
    paired = means(resamples, "t", "d", before[None]) - means(resamples, "t", "m", after[None])
    apart = means(resamples, "t", "d", before[None]) - means(resamples, "u", "m", after[None])
    assert paired.std() < apart.std() / 4


def test_seeds_that_disagree_widen_the_interval():
    seeds = np.zeros((4, 100), dtype=bool)
    seeds[:2] = True
    one = np.zeros((1, 100), dtype=bool)
    one[:, :50] = True
    resamples = Resamples(0, 2000, 0.95)
    assert means(resamples, "t", "four", seeds).std() > 3 * means(resamples, "t", "one", one).std()


def test_the_stretch_makes_a_bootstrap_of_seeds_a_t_interval():
    # Standard error with n - 1, and t over z: 4.303 and 1.960 for three seeds.
    assert stretch(3, 0.95) == pytest.approx(np.sqrt(3 / 2) * 4.3026527 / 1.9599640)
    assert stretch(1, 0.95) == 1
    assert stretch(1000, 0.95) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize("seeds", [2, 5])
@pytest.mark.parametrize("spread", [0.0, 0.05, 0.12])
def test_intervals_over_seeds_cover_the_mean_that_more_seeds_would_have(seeds, spread):
    """200 studies of a method whose figure varies by seed around 0.6, on texts of 0.4 to 0.8."""
    generator = np.random.default_rng(seeds)
    covered = 0
    for study in range(200):
        hardness = generator.uniform(-0.2, 0.2, 150)
        drawn = np.clip(0.6 + spread * generator.standard_normal((seeds, 1)) + hardness, 0, 1)
        right = generator.random((seeds, 150)) < drawn
        draws = means(Resamples(study, 300, 0.95), "t", "m", right)
        low, high = np.quantile(draws, [0.025, 0.975])
        covered += low <= 0.6 <= high
    assert covered >= 182
