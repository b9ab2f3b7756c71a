"""What a kernel backend is: one file with one such object, one line in the registry."""

from typing import TYPE_CHECKING, Protocol

from pipeline.kernels.packed import PackedFFN, PackedLinear

if TYPE_CHECKING:
    import torch


class Backend(Protocol):
    """Computes with packed weights. The interface has checked the arguments, except for the values
    of indices, which a backend on a GPU should not have to read twice."""

    def missing(self) -> str | None:
        """Why the backend is not available here, and how to get it; None when it is."""

    def details(self) -> str:
        """What it runs on, if it is available."""

    def emulated(self) -> bool:
        """Whether it computes in an interpreter here: correct, but so slow that it is only tested,
        never timed, and never chosen by "auto"."""

    def serves(self, weights: "torch.Tensor") -> str | None:
        """Why the backend cannot compute with these weights; None when it can."""

    def ffn(
        self,
        x: "torch.Tensor",
        packed: PackedFFN,
        active: "torch.Tensor | None",
        threshold: float | None,
    ) -> "torch.Tensor":
        """See `sparse_ffn`."""

    def linear(self, x: "torch.Tensor", packed: PackedLinear, threshold: float) -> "torch.Tensor":
        """See `sparse_linear`."""
