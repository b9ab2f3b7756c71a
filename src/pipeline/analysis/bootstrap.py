"""Paired bootstrap over items, and over seeds where a method has several.

One resample draws the same items for every condition, so differences between conditions stay
paired; tasks are resampled apart, each to its own size. Seeds are drawn as a second, crossed factor
(Owen, 2007, the pigeonhole bootstrap), since the items of all seeds are the same.
"""

import hashlib
from functools import cache

import numpy as np


class Resamples:
    """Resampling weights from one seed; equal names give equal weights in every process."""

    def __init__(self, seed: int, count: int) -> None:
        self.seed = seed
        self.count = count
        self.items = cache(lambda task, n: self._weights(f"items of {task}", n))
        self.seeds = cache(lambda method, n: self._weights(f"seeds of {method}", n))

    def accuracy(self, task: str, method: str, right: np.ndarray) -> np.ndarray:
        """Accuracy in every resample, (count,); `right` is (seeds, items) of 0 and 1."""
        seeds, items = right.shape
        by_seed = self.items(task, items) @ right.T.astype(float)
        return (by_seed * self.seeds(method, seeds)).sum(axis=1)

    def _weights(self, name: str, size: int) -> np.ndarray:
        """(count, size), every row the shares of a draw of `size` with replacement."""
        if size == 1:
            return np.ones((self.count, 1))
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        generator = np.random.default_rng([self.seed, int.from_bytes(digest, "big")])
        return generator.multinomial(size, np.full(size, 1 / size), size=self.count) / size


def interval(
    estimate: float, draws: np.ndarray, items: int, confidence: float
) -> tuple[float, float]:
    """The percentile interval of a difference of two accuracies.

    When every item differs alike (none changed, or all did), all resamples agree and would give an
    interval of no width; the exact binomial (Clopper-Pearson) bound of the share of items that
    could differ otherwise stands in for it.
    """
    tail = (1 - confidence) / 2
    if np.ptp(draws) < 1e-12:
        bound = 1 - tail ** (1 / items)
        return max(-1.0, estimate - bound), min(1.0, estimate + bound)
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
