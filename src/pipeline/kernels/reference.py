"""The kernels' meaning, in plain torch: every other backend is tested against this one.

Weights are converted to float32 in every call, so it is slower than the dense product, and is for
tests and for where no other backend can run.
"""

from typing import TYPE_CHECKING

from pipeline.kernels.activations import function
from pipeline.kernels.packed import PackedFFN, PackedLinear, unpack_rows

if TYPE_CHECKING:
    import torch


class Reference:
    """Plain torch; never missing."""

    def missing(self) -> str | None:
        """Never."""
        return None

    def details(self) -> str:
        """What it runs on."""
        return "torch, for every device; slower than dense"

    def emulated(self) -> bool:
        """Never."""
        return False

    def serves(self, weights: "torch.Tensor") -> str | None:
        """All weights."""
        return None

    def ffn(
        self,
        x: "torch.Tensor",
        packed: PackedFFN,
        active: "torch.Tensor | None",
        threshold: "float | None",
    ) -> "torch.Tensor":
        """y, (batch, d) in x's dtype; float32 within. What is skipped is left out of the sums and
        not multiplied by zero, which would turn an infinity into NaN."""
        import torch

        values = x.float()
        first, *rest = (
            unpack_rows(packed.rows, packed.scales, place, packed.d)
            for place in range(len(packed.rows))
        )
        h = torch.nn.functional.linear(
            values, first, packed.gate_bias if packed.gated else packed.up_bias
        )
        h = function(packed.activation)(h)
        on = torch.ones_like(h, dtype=torch.bool)
        if active is not None:
            on &= active if active.dtype == torch.bool else _mask(active, packed.d_ff)
        if threshold is not None:
            # A comparison that NaN fails keeps NaN.
            on &= ~(h.abs() <= threshold)
        if packed.gated:
            h = h * torch.nn.functional.linear(values, rest[0], packed.up_bias)
        return _sum(h, on, rest[-1], packed.out_bias).to(x.dtype)

    def linear(self, x: "torch.Tensor", packed: PackedLinear, threshold: float) -> "torch.Tensor":
        """y, (batch, outputs) in x's dtype; float32 within."""
        values = x.float()
        columns = unpack_rows(packed.rows, packed.scales, 0, packed.outputs)
        return _sum(values, ~(values.abs() <= threshold), columns, packed.bias).to(x.dtype)


REFERENCE = Reference()


def _sum(
    h: "torch.Tensor", on: "torch.Tensor", rows: "torch.Tensor", bias: "torch.Tensor | None"
) -> "torch.Tensor":
    found = h.new_zeros(len(h), rows.shape[1])
    for row, values, which in zip(found, h, on, strict=True):
        row.copy_(values[which] @ rows[which])
    return found if bias is None else found + bias


def _mask(indices: "torch.Tensor", count: int) -> "torch.Tensor":
    import torch

    check_indices(indices, count)
    mask = torch.zeros(count, dtype=torch.bool, device=indices.device)
    mask[indices] = True
    return mask


def check_indices(indices: "torch.Tensor", count: int) -> None:
    """ValueError for an index outside or given twice."""
    outside = indices[(indices < 0) | (indices >= count)]
    if len(outside):
        raise ValueError(f"active: index {int(outside[0])} is outside of 0 to {count - 1}")
    values, times = indices.unique(return_counts=True)
    if bool((times > 1).any()):
        raise ValueError(
            f"active: index {int(values[times > 1][0])} is given twice (a mask is a bool tensor)"
        )
