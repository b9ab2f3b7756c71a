"""Paired bootstrap over texts, and over seeds where a method has several.

One resample draws the same texts for every condition, so differences between conditions stay
paired; tasks are resampled apart, each to its own size. Seeds are drawn as a second, crossed factor
(Owen, 2007, the pigeonhole bootstrap), since the texts of all seeds are the same. A bootstrap of
few seeds is too narrow: their deviations are stretched to a t interval's.
"""

import hashlib
from functools import cache

import numpy as np


class Resamples:
    """Resampling weights from one seed; equal names give equal weights in every process."""

    def __init__(self, seed: int, count: int, confidence: float) -> None:
        self.seed = seed
        self.count = count
        self.confidence = confidence
        self.texts = cache(lambda task, n: self._weights(f"items of {task}", n))
        self.seeds = cache(lambda method, n: self._weights(f"seeds of {method}", n))

    def mean(self, task: str, method: str, values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Sum of `values`, (seeds, texts), over the sum of `sizes`, (texts,), in every resample,
        (count,). Stretched seeds can carry single resamples out of the range of the values."""
        seeds, texts = values.shape
        weights = self.texts(task, texts)
        by_seed = (weights @ values.T) / (weights @ sizes)[:, None]
        mean = by_seed.mean(axis=1)
        drawn = (by_seed * self.seeds(method, seeds)).sum(axis=1)
        return mean + stretch(seeds, self.confidence) * (drawn - mean)

    def _weights(self, name: str, size: int) -> np.ndarray:
        """(count, size), every row the shares of a draw of `size` with replacement."""
        if size == 1:
            return np.ones((self.count, 1))
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        generator = np.random.default_rng([self.seed, int.from_bytes(digest, "big")])
        return generator.multinomial(size, np.full(size, 1 / size), size=self.count) / size


def stretch(seeds: int, confidence: float) -> float:
    """Factor that makes a bootstrap over that many seeds as wide as a t interval: sqrt(n / (n -
    1)), for the variance that a bootstrap leaves out, times the t quantile divided by the normal
    one."""
    from scipy import stats

    if seeds == 1:
        return 1.0
    tail = (1 + confidence) / 2
    quantiles = stats.t.ppf(tail, seeds - 1) / stats.norm.ppf(tail)
    return float(np.sqrt(seeds / (seeds - 1)) * quantiles)
