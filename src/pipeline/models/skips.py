"""What a decoding model skips, layer by layer, in terms that the kernels know."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.models.views import ModelView

if TYPE_CHECKING:
    import torch

#: The forms whose speed is measured: an FFN whose neurons were cut out of the matrices, one that is
#: told which neurons are active, one that reads all gates to find out (without a gate, all of the
#: first matrix), and a linear layer that skips inputs.
SLICED, ACTIVE, THRESHOLD, UNGATED_THRESHOLD, CHANNELS = FORMS = (
    "sliced", "active", "threshold", "threshold without a gate", "channels"
)  # fmt: skip
#: What a method does while a prompt is read: nothing, or the same as at every token.
DENSE, SPARSE = PREFILLS = ("dense", "sparse")


@dataclass(frozen=True)
class Threshold:
    """Neurons whose |activation(gate x)| is at most `value` are skipped (without a gate, |h|).

    At 0 with an activation that is exactly zero, that is what the model skips by itself.
    """

    value: float


@dataclass(frozen=True, eq=False)
class Fixed:
    """The same neurons, (d_ff,) bool, take part at every token where the method is at work."""

    kept: "torch.Tensor"


@dataclass(frozen=True, eq=False)
class Chosen:
    """`choose` says before the FFN runs which neurons take part: from the residual stream before
    the FFN's norm, (tokens, d_model), to (tokens, d_ff) bool. Its time is the method's."""

    choose: "Callable[[torch.Tensor], torch.Tensor]"


@dataclass(frozen=True, eq=False)
class LayerRules:
    """The rules of one block: neurons that are cut out, (d_ff,) bool; a rule for the others; and,
    for linear layers by their names in the block, the |x_i| up to which channels are not read.

    `expected` is the share of neurons that the rule is expected to skip, or, by linear layer, the
    share of its channels; None where that is not known.
    """

    dropped: "torch.Tensor | None" = None
    neurons: Threshold | Fixed | Chosen | None = None
    channels: Mapping[str, float] = field(default_factory=dict)
    expected: float | Mapping[str, float] | None = None


class Rules(Protocol):
    """A plan, or anything else that says what a model skips; `prefill` is one of PREFILLS."""

    prefill: str

    def for_kernels(self, layout: ModelView) -> Sequence[LayerRules]:
        """Change the weights as the plan says, and return the rules of every block."""
