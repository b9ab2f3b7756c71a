"""`griffin`: the neurons that matter to a prompt are kept for all that follows it (GRIFFIN, arXiv
2404.01365).

A neuron's statistic is the L2 norm over the prompt's tokens of h_i / ||h||_2. An answer's prompt is
the question, a choice's the text before it. A text that is scored from its start has no prompt:
each of its tokens keeps the neurons of the text up to it, so nothing looks ahead.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.methods.sparsifiers.by_input import largest
from pipeline.models.forward import CONTINUATION, Forward, Skipped

if TYPE_CHECKING:
    import torch


class Griffin(Sparsifier):
    """Neurons that the prompt uses are kept. Arrays: `kept`, () int64, how many of each layer.

    Sample:

        sparsifier: griffin
        corpus: reasoning
        levels: [0.5]
        sparse_from: continuation
    """

    label = "GRIFFIN"
    #: The prompt is dense, since it is what neurons are chosen by.
    sparse_from = CONTINUATION

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The number of neurons that a layer keeps when the share is skipped."""
        width = evidence.layout.ffns[0].d_ff
        return {"kept": np.array(width - round(share * width))}

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the choice of every layer."""
        for layer in range(len(masks.layout.ffns)):
            masks.neurons(layer, _Rule(masks.forward, int(arrays["kept"])))


class _Rule:
    """The rule of one layer: the choice of the last prompt holds for the steps after it."""

    def __init__(self, forward: Forward, number: int) -> None:
        self.forward = forward
        self.number = number
        self._chosen: torch.Tensor | None = None

    def __call__(self, seen: Seen) -> Skipped:
        if not self.forward.begins and self._chosen is not None:
            return Skipped(before=~self._chosen)
        squares = statistic(seen.hidden, self.forward.present)
        sparse = self.forward.sparse
        # The prompt is the tokens at which the method is not yet at work; where there are none, the
        # whole text is the prompt of the steps that follow.
        prompt = squares if sparse is None else squares.masked_fill(sparse[..., None], 0)
        self._chosen = largest(prompt.sum(1, keepdim=True), self.number)
        if sparse is None:
            return Skipped(before=~largest(squares.cumsum(1), self.number))
        return Skipped(before=~self._chosen.expand_as(squares))


def statistic(h: "torch.Tensor", present: "torch.Tensor | None") -> "torch.Tensor":
    """(h_i / ||h||_2)^2, (sequences, length, d_ff), 0 at padding and where h is zero; their sum
    over a prompt's tokens is the square of GRIFFIN's statistic."""
    length = h.float().norm(dim=-1, keepdim=True)
    squares = (h.float() / length.clamp_min(1e-30)).square()
    return squares if present is None else squares.masked_fill(~present[..., None], 0)
