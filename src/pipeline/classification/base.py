"""The shape of a hot/cold policy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from pipeline.config.classification import Classification

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class PolicyEvidence:
    """What a policy may look at: a profile's neurons, those of the same model on another corpus in
    the same order, and the rise of held-out loss, in nats a token, when a set of neurons,
    (neurons,) bool, is removed. The last two are given only to policies that ask for them."""

    neurons: "pl.DataFrame"
    other: "pl.DataFrame | None" = None
    rise: Callable[[np.ndarray], float] | None = None

    def beside(self, other: "pl.DataFrame") -> "PolicyEvidence":
        """This evidence with another profile of the same neurons added, whatever the order of its
        rows; ValueError when the neurons differ."""
        key = ["layer", "neuron"]
        paired = self.neurons.select(key).join(other, on=key, how="left", maintain_order="left")
        if paired["active"].null_count() or other.height != self.neurons.height:
            raise ValueError("the two profiles do not cover the same neurons")
        return replace(self, other=paired)

    def costing(self, rise: Callable[[np.ndarray], float]) -> "PolicyEvidence":
        """This evidence with a measure of what removing neurons costs."""
        return replace(self, rise=rise)


class Policy(Protocol):
    """Ranks neurons and decides how many of the first are hot.

    `options` are the keys of the configuration that it takes besides `scope`; `needs` is "profile"
    or "sequences" of the corpus that `other` names, or empty. A policy that needs sequences has
    `costs`, which makes the `rise` of its evidence from a model and these sequences.
    """

    options: ClassVar[frozenset[str]]
    needs: ClassVar[str]

    def scores(
        self, evidence: PolicyEvidence, config: Classification, group: np.ndarray
    ) -> np.ndarray:
        """What the neurons at the indices `group` are ranked by; the largest is the hottest."""
        ...

    def hot_count(
        self,
        scores: np.ndarray,
        evidence: PolicyEvidence,
        config: Classification,
        order: np.ndarray,
    ) -> int:
        """How many are hot; `scores` and the neurons' indices `order` go from hot to cold."""
        ...
