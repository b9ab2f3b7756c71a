"""What a decoding model skips, layer by layer, in terms that the kernels know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


#: What speeds are measured of: an FFN whose neurons were cut out of the matrices, one told which
#: neurons are active, one that reads all gates to know, and a linear layer that skips inputs.
SLICED, ACTIVE, THRESHOLD, CHANNELS = FORMS = ("sliced", "active", "threshold", "channels")


@dataclass(frozen=True)
class Threshold:
    """Neurons whose |activation(gate x)| is at most `value` are skipped (without a gate, |h|).

    At 0 with an activation that is exactly zero, that is what the model skips by itself.
    """

    value: float


@dataclass(frozen=True, eq=False)
class Chosen:
    """`choose` says before the FFN runs which neurons take part: from the residual stream before
    the FFN's norm, (tokens, d_model), to (tokens, d_ff) bool. Its time is the method's."""

    choose: "Callable[[torch.Tensor], torch.Tensor]"


@dataclass(frozen=True)
class LayerRules:
    """One block's: neurons that are not there at all, (d_ff,) bool; a rule for the others; and for
    linear layers, by their names in the block, the |x_i| up to which channels are not read."""

    dropped: "torch.Tensor | None" = None
    neurons: Threshold | Chosen | None = None
    channels: Mapping[str, float] = field(default_factory=dict)
