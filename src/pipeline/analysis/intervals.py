"""Intervals of paired differences of accuracies, in closed form.

What a question gained or lost is -1, 0 or 1 (its mean over seeds where a method has several). Two
questions are added, as Agresti and Min do for matched pairs (Statistics in Medicine 2005,
24:729-740): half a question that is gained, half a question that is lost, and one that does not
change. The interval then has a width even when no question changes, passes smoothly to that with
one change, and covers as often as it says. Questions that belong together (one verse asked for from
several places) count as one cluster. Seeds are a second, crossed factor: their variance is added,
and the quantile is that of a t distribution whose degrees of freedom are Satterthwaite's.

An interval holds for new questions of these tasks and for new seeds, not for new tasks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Changes:
    """What each question of one task gained or lost, (items,), and its cluster, (items,) of whole
    numbers."""

    values: np.ndarray
    clusters: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the questions."""
        return float(self.values.mean())

    @property
    def _added(self) -> float:
        """Weight of each of the two added questions: one, or, with clusters, the mean over the
        questions of the size of a question's cluster."""
        sizes = np.bincount(self.clusters)
        return float((sizes**2).sum() / sizes.sum())

    @property
    def centre(self) -> float:
        """The mean with the two questions added."""
        return self.mean * len(self.values) / (len(self.values) + 2 * self._added)

    @property
    def variance(self) -> float:
        """Variance of the mean over draws of clusters."""
        apart = np.bincount(self.clusters, self.values - self.centre)
        # Halves that lie 1 - centre and 1 + centre away, and a whole that lies centre away.
        added = self._added**2 * (1 + 2 * self.centre**2)
        size = len(self.values) + 2 * self._added
        return float(((apart**2).sum() + added) / size**2)


def interval(
    tasks: Sequence[Changes], seeds: Sequence[np.ndarray], confidence: float
) -> tuple[float, float]:
    """The interval of the mean over tasks of what their questions gained or lost.

    `seeds` holds, for each method with several, its mean over the tasks by seed, (seeds,). The ends
    lie around the mean, and hold it.
    """
    weight = 1 / len(tasks)
    estimate = weight * sum(task.mean for task in tasks)
    centre = weight * sum(task.centre for task in tasks)
    items = weight**2 * sum(task.variance for task in tasks)
    drawn = [(float(np.var(own, ddof=1)) / len(own), len(own) - 1) for own in seeds]
    variance = items + sum(part for part, _ in drawn)
    squares = sum(part**2 / freedom for part, freedom in drawn)
    reach = quantile((1 + confidence) / 2, variance**2 / squares if squares else np.inf)
    reach *= np.sqrt(variance)
    return min(estimate, float(centre - reach)), max(estimate, float(centre + reach))


def share_interval(
    tasks: Sequence[Changes], seeds: Sequence[np.ndarray], confidence: float
) -> tuple[float, float]:
    """The interval of the mean over tasks of their shares right, as `interval`; values are from 0
    to 1.

    The added questions lie around a half: half a question at 1.5, half a question at -0.5 and a
    whole one at 0.5. They spread as much as the two right and the two wrong that Agresti and Coull
    add (The American Statistician 1998, 52:119-126).
    """
    around = [Changes(task.values - 0.5, task.clusters) for task in tasks]
    low, high = interval(around, seeds, confidence)
    return max(0.0, low + 0.5), min(1.0, high + 0.5)


@cache
def quantile(level: float, freedom: float) -> float:
    """Quantile of a t distribution, or of a normal one for infinite degrees of freedom."""
    from scipy import stats

    return float(stats.t.ppf(level, freedom))
