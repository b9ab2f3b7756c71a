"""`topk`: every token keeps its largest neurons, as many in every layer, by |h_i| or by
contribution |h_i| * ||W_down[:, i]||_2.

All of h must be known first, so only the down projection is spared; the result is an upper bound,
what an oracle could reach.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.methods.sparsifiers.by_input import largest
from pipeline.models.forward import Skipped

if TYPE_CHECKING:
    import torch


class Options(Section):
    """What neurons are ranked by."""

    by: Literal["magnitude", "contribution"] = Field(
        "contribution", description="`magnitude`: |h|; `contribution`: |h| * ||W_down[:, i]||_2"
    )


class TopK(Sparsifier):
    """The largest neurons of every token are kept. Arrays: `kept`, () int64, how many of each
    layer.

    Sample:

        sparsifier: {name: topk, by: contribution}
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "top-k (oracle)"
    Options = Options

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The number of neurons that a layer keeps when the share is skipped."""
        width = evidence.layout.ffns[0].d_ff
        return {"kept": np.array(width - round(share * width))}

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the choice of every layer."""
        for layer, ffn in enumerate(masks.layout.ffns):
            weigh = ffn.down_norms().float() if options.by == "contribution" else None
            masks.neurons(layer, _rule(int(arrays["kept"]), weigh))


def _rule(number: int, weigh: "torch.Tensor | None") -> Callable[[Seen], Skipped]:
    def skip(seen: Seen) -> Skipped:
        size = seen.hidden.abs()
        return Skipped(hidden=~largest(size if weigh is None else size * weigh, number))

    return skip
