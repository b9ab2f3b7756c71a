"""Stability: hot are the neurons that are hot on both of two corpora, each by coverage."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from pipeline.classification.base import PolicyEvidence
from pipeline.config.classification import Classification
from pipeline.numerics.concentration import smallest
from pipeline.numerics.ranking import heat_ranks

if TYPE_CHECKING:
    import polars as pl


class Stability:
    """Ranked by how deep within the hot set a neuron stands on the corpus where it is colder: the
    size of the hot set over its rank. Neurons with 1 or more are hot on both."""

    options: ClassVar[frozenset[str]] = frozenset({"share", "other"})
    needs: ClassVar[str] = "profile"

    def scores(
        self, evidence: PolicyEvidence, config: Classification, group: np.ndarray
    ) -> np.ndarray:
        """The smaller of the two figures."""
        if evidence.other is None:
            raise ValueError("stability is about two profiles, and there is one")
        share = config.number("share")
        depths = (_depth(p[group], share) for p in (evidence.neurons, evidence.other))
        return np.minimum(*depths)

    def hot_count(
        self,
        scores: np.ndarray,
        evidence: PolicyEvidence,
        config: Classification,
        order: np.ndarray,
    ) -> int:
        """Those that are hot on both."""
        return int((scores >= 1).sum())


def _depth(neurons: "pl.DataFrame", share: float) -> np.ndarray:
    active = neurons["active"].to_numpy()
    ranks = heat_ranks(active, neurons["layer"].to_numpy(), neurons["neuron"].to_numpy())
    hot = smallest(np.sort(active)[::-1], share)
    return hot / ranks
