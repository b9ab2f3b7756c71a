"""Coverage: the smallest set of neurons that carries a share of all activity.

PowerInfer's hot set, by activation counts and with a share of 0.8 (arXiv 2312.12456, section 3).
"""

from fractions import Fraction
from math import ceil
from typing import ClassVar

import numpy as np

from pipeline.classification.base import Evidence
from pipeline.config.classification import Classification

#: Sums of floats may miss a share that they reach by so much, relatively.
_ROUNDING = 1e-12


class Coverage:
    """Hot are the most active neurons up to `share` of the sum of `column` over all neurons."""

    options: ClassVar[frozenset[str]] = frozenset({"share"})
    needs: ClassVar[str] = ""
    column = "active"

    def scores(self, evidence: Evidence, config: Classification, group: np.ndarray) -> np.ndarray:
        """Activations by token."""
        tokens = np.maximum(evidence.neurons["tokens"].to_numpy(), 1)
        scores: np.ndarray = (evidence.neurons[self.column].to_numpy() / tokens)[group]
        return scores

    def hot_count(
        self, scores: np.ndarray, evidence: Evidence, config: Classification, order: np.ndarray
    ) -> int:
        """The first count whose running sum reaches share * total."""
        assert config.share is not None
        return smallest(evidence.neurons[self.column].to_numpy()[order], config.share)


def smallest(amounts: np.ndarray, share: float) -> int:
    """How many of the first amounts carry `share` of their sum; 0 when there is nothing to carry.

    Exact in integers. The share counts as the decimal that it is written as: 0.28 of 100
    activations are 28, though 0.28 * 100 is above 28 in floats.
    """
    running = np.cumsum(amounts)
    if running.size == 0 or running[-1] == 0:
        return 0
    if np.issubdtype(amounts.dtype, np.integer):
        wanted = ceil(Fraction(str(share)) * int(running[-1]))
        return int(np.searchsorted(running, wanted, side="left")) + 1
    return int(np.searchsorted(running, share * running[-1] * (1 - _ROUNDING), side="left")) + 1
