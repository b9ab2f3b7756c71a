"""What a kernel backend is: one file with one such object, one line in the registry."""

from typing import TYPE_CHECKING, Protocol

from pipeline.kernels.packed import PackedFFN, PackedLinear

if TYPE_CHECKING:
    import torch


class Backend(Protocol):
    """Computes with packed weights. Arguments were checked by the interface, but for the values of
    indices, which a backend on a GPU need not look at twice."""

    def missing(self) -> str | None:
        """Why the backend is not here, and what brings it; None when it is."""

    def details(self) -> str:
        """What it runs on, where it is not missing."""

    def emulated(self) -> bool:
        """Whether it computes in an interpreter here: right, and so slow that it is only tested,
        never timed and never chosen unasked."""

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
