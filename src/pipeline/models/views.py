"""The FFN view: one shape for the feed-forward blocks of every supported architecture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.registry import ARCHITECTURES

if TYPE_CHECKING:
    import torch

#: Activation functions, by Hugging Face name, whose outputs hold exact zeros.
EXACT_ZERO_ACTIVATIONS = frozenset({"relu", "relu2", "relu_squared"})


@dataclass(frozen=True)
class FFNView:
    """One block's FFN. Neuron i is row i of every `inner` matrix with column i of `down`.

    `inner` is (gate, up) when gated, else (fc1,). The input of `down`, shape (..., d_ff), is h.
    """

    inner: "tuple[torch.nn.Linear, ...]"
    down: "torch.nn.Linear"
    activation: str
    owner: "torch.nn.Module"

    @property
    def gated(self) -> bool:
        """True when a gate projection multiplies the up projection."""
        return len(self.inner) == 2

    @property
    def d_ff(self) -> int:
        """Number of neurons."""
        return self.down.in_features

    def down_norms(self) -> "torch.Tensor":
        """||W_down[:, i]||_2 of every neuron, (d_ff,), float64."""
        return self.down.weight.detach().double().norm(dim=0)

    def weight_norms(self) -> "torch.Tensor":
        """L2 norm of all weights of every neuron, biases left out, (d_ff,), float64."""
        squares = self.down_norms() ** 2
        for linear in self.inner:
            squares = squares + linear.weight.detach().double().square().sum(dim=1)
        return squares.sqrt()

    def zero(self, dropped: "torch.Tensor") -> None:
        """Remove neurons in place by zeroing weights and biases; `dropped` is (d_ff,) bool."""
        import torch

        with torch.no_grad():
            for linear in self.inner:
                linear.weight[dropped] = 0
                if linear.bias is not None:
                    linear.bias[dropped] = 0
            self.down.weight[:, dropped] = 0

    def slice(self, dropped: "torch.Tensor") -> None:
        """Remove neurons in place by cutting them out of the matrices; equals `zero` up to the
        order of summation, and costs less time. The form to time static plans in."""
        import torch

        kept = ~dropped
        with torch.no_grad():
            for linear in self.inner:
                linear.weight = torch.nn.Parameter(linear.weight[kept].clone())
                if linear.bias is not None:
                    linear.bias = torch.nn.Parameter(linear.bias[kept].clone())
                linear.out_features = int(kept.sum())
            self.down.weight = torch.nn.Parameter(self.down.weight[:, kept].clone())
            self.down.in_features = int(kept.sum())


def counted(inner: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
    """h of the tokens that `mask`, (sequences, length) bool, marks: (tokens, d_ff).

    Some architectures (OPT) hand h on as (sequences * length, d_ff).
    """
    return inner.reshape(*mask.shape, inner.shape[-1])[mask]


@dataclass(frozen=True)
class ModelView:
    """All FFNs of a model in order, and its transformer blocks."""

    ffns: Sequence[FFNView]
    blocks: "Sequence[torch.nn.Module]"

    @property
    def ffn_weights(self) -> int:
        """FFN weight elements of all blocks, biases left out."""
        return sum(m.weight.numel() for ffn in self.ffns for m in (*ffn.inner, ffn.down))

    @property
    def linear_weights(self) -> int:
        """Weight elements of all linear layers of all blocks, biases left out."""
        import torch

        return sum(
            module.weight.numel()
            for block in self.blocks
            for module in block.modules()
            if isinstance(module, torch.nn.Linear)
        )


def view(model: Any) -> ModelView:
    """The FFN view of a loaded model; UserError for an architecture without one."""
    return ARCHITECTURES.load(supported(type(model).__name__))(model)


def supported(architecture: str) -> str:
    """`architecture` itself; raises UserError when no FFN view is registered for it."""
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"architecture {architecture!r} has no FFN view: profiling needs to know which linear "
            f"layers hold the FFN neurons. Supported: {', '.join(sorted(ARCHITECTURES))}."
        )
    return architecture
