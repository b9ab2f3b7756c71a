"""`cett`: every layer leaves out the neurons whose contribution is within its own threshold, and
the thresholds are those at which all layers reach one value of CETT (arXiv 2411.02335).

The share is that value: the mean relative error of a layer's output, biases left out, on a sample
of the text that reaches it in the dense model. All of h must be known first, so only the down
projection is spared.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.models.cett import Tail, fit_threshold
from pipeline.models.forward import Skipped

if TYPE_CHECKING:
    import torch


class Cett(Sparsifier):
    """Neurons with a small contribution are skipped. Arrays: `thresholds` (layers,) of the
    contribution.

    Sample:

        sparsifier: cett
        corpus: reasoning
        levels: [0.1, 0.2]
    """

    label = "CETT"

    def __init__(self) -> None:
        self._tails: tuple[Evidence, list[Tail]] | None = None

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The largest thresholds whose CETT stays within `share`; 0 at a share of 0, infinite at 1,
        since other text has larger contributions."""
        if self._tails is None or self._tails[0] is not evidence:
            self._tails = evidence, _tails(evidence)
        layers = self._tails[1]
        if not 0 < share < 1:
            return {"thresholds": np.full(len(layers), math.inf if share > 0 else 0.0)}
        return {"thresholds": np.array([fit_threshold(tail, share)[0] for tail in layers])}

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook every layer's threshold."""
        for layer, threshold in enumerate(arrays["thresholds"]):
            norms = masks.layout.ffns[layer].down_norms().float()
            masks.neurons(layer, _rule(float(threshold), norms))


def _tails(evidence: Evidence) -> list[Tail]:
    blocks = evidence.blocks
    hidden, found = blocks.first, []
    for layer, ffn in enumerate(evidence.layout.ffns):
        with blocks.inputs([ffn.down.module]) as read:
            hidden = blocks.run(layer, hidden)
        inner = blocks.counted(read[ffn.down.module]).float()
        found.append(Tail(inner, ffn.down.weight.detach().float()).few())
    return found


def _rule(threshold: float, norms: "torch.Tensor") -> Callable[[Seen], Skipped]:
    return lambda seen: Skipped(hidden=within(seen.hidden, norms, threshold))


def within(h: "torch.Tensor", norms: "torch.Tensor", threshold: float) -> "torch.Tensor":
    """Bool like h, (..., d_ff): |h_i| * norms_i <= threshold, compared in float32, the type of
    `norms`, in which thresholds are fitted."""
    return h.abs() * norms <= threshold
