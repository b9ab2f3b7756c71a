"""Coverage: the smallest set of neurons that carries a share of all activity.

PowerInfer's hot set, by activation counts and with a share of 0.8 (arXiv 2312.12456, section 3).
"""

from typing import ClassVar

import numpy as np

from pipeline.classification.base import PolicyEvidence
from pipeline.config.classification import Classification
from pipeline.numerics.concentration import smallest


class Coverage:
    """Hot are the most active neurons up to `share` of the sum of `column` over all neurons."""

    options: ClassVar[frozenset[str]] = frozenset({"share"})
    needs: ClassVar[str] = ""
    column = "active"

    def scores(
        self, evidence: PolicyEvidence, config: Classification, group: np.ndarray
    ) -> np.ndarray:
        """The share of tokens at which each neuron is active."""
        tokens = np.maximum(evidence.neurons["tokens"].to_numpy(), 1)
        scores: np.ndarray = (evidence.neurons[self.column].to_numpy() / tokens)[group]
        return scores

    def hot_count(
        self,
        scores: np.ndarray,
        evidence: PolicyEvidence,
        config: Classification,
        order: np.ndarray,
    ) -> int:
        """The first count whose running sum reaches share * total."""
        return smallest(evidence.neurons[self.column].to_numpy()[order], config.number("share"))
