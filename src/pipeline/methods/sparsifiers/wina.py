"""`wina`: a linear layer reads the input channels with the largest |x_i| * ||W[:, i]||_2, as many
at every token (WINA, arXiv 2505.19427).

The released code weights inputs by column norms in two of seven layers, those that it rotates, and
uses plain magnitude in the others; here every layer uses its own column norms, and none is rotated.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.by_input import ByInput, column_norms, largest
from pipeline.models.views import matrix

if TYPE_CHECKING:
    import torch


class Wina(ByInput):
    """Inputs weighted by their columns' norms; `settings` are the shares skipped.

    Sample:

        sparsifier: wina
        corpus: reasoning
        levels: [0.5, 0.7]
    """

    label = "WINA"

    def setting(self, evidence: Evidence, layer: int, name: str, share: float) -> float:
        """The share itself: it is the same at every token."""
        return share

    def keep(
        self, module: "torch.nn.Module", setting: float
    ) -> "Callable[[torch.Tensor], torch.Tensor]":
        """Read the channels with the largest products, equally many at every token."""
        norms = column_norms(matrix(module))
        return lambda x: kept(x, norms, setting)


def kept(x: "torch.Tensor", norms: "torch.Tensor", share: float) -> "torch.Tensor":
    """Bool like x, (..., channels): all but round(share * channels) of each token's, those with the
    smallest |x_i| * norms_i; `norms` (channels,) float32."""
    number = x.shape[-1] - round(share * x.shape[-1])
    return largest(x.abs() * norms, number)
