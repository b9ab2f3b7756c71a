"""Perplexity: the smallest hot set whose cold set can go for a small rise of perplexity.

After PPL-p % (arXiv 2411.02335), which asks for the sparsity at which validation perplexity has
risen by p percent; there neurons are left out token by token, here for good, the least active
first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.coverage import Coverage
from pipeline.classification.loss import Removal
from pipeline.config.classification import Classification
from pipeline.config.models import Model
from pipeline.models.loading import load
from pipeline.numerics.search import halved_whole

#: The cold set's size is found to this share of the neurons.
_RESOLUTION = 1 / 512


class Perplexity(Coverage):
    """Neurons are ranked by activation frequency; cold are as many from the end of the ranking as
    cost at most `rise`."""

    options = frozenset({"rise", "other"})
    needs = "sequences"

    @staticmethod
    def costs(
        model: Model, record: Mapping[str, Any], sequences: Sequence[Sequence[int]]
    ) -> Callable[[np.ndarray], float]:
        """The rise of loss on held-out sequences when neurons of a resolved model are removed."""
        loaded, tokenizer = load(model, record)
        return Removal(loaded, sequences, tokenizer.all_special_ids).rise

    def hot_count(
        self,
        scores: np.ndarray,
        evidence: PolicyEvidence,
        config: Classification,
        order: np.ndarray,
    ) -> int:
        """By bisection: loss need not grow with every neuron, so this is one crossing of the bound.

        Removing what is then cold has been measured to stay within it.
        """
        rise = evidence.rise
        if rise is None:
            raise ValueError("perplexity needs a measure of what removal costs")
        allowed = math.log1p(config.number("rise"))

        def costs(cold: int) -> float:
            removed = np.zeros(evidence.neurons.height, dtype=bool)
            removed[order[order.size - cold :]] = True
            return rise(removed)

        if costs(order.size) <= allowed:
            return 0
        width = max(1, round(_RESOLUTION * order.size))
        cold = halved_whole(lambda cold: costs(cold) <= allowed, 0, order.size, width)
        return order.size - cold
