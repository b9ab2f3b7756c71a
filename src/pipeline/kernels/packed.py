"""Weights laid out for the kernels: everything of one neuron, or of one input channel, together."""

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Rows are padded with zeros to a multiple of this many elements, so that no kernel's loop has a
#: tail and every row starts on a cache line.
LANES = 64
#: An int8 weight is a whole number of 127ths of the largest of its row.
_INT8_STEPS = 127
_LARGE_PAGE = 2 << 20


@dataclass(frozen=True, eq=False)
class _Packed:
    """What packed weights of both kinds have in common."""

    rows: "torch.Tensor" = field(repr=False)
    #: What a backend keeps from call to call: the addresses of these tensors, so a copy starts
    #: without it.
    kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def dtype(self) -> "torch.dtype":
        """Type of the weights."""
        return self.rows.dtype

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"kept": {}}


@dataclass(frozen=True, eq=False)
class PackedFFN(_Packed):
    """One FFN's weights, neuron by neuron; made by `pack_ffn`.

    `rows` is (3, d_ff, padded): gate rows, up rows and down columns, each neuron's at the same
    index; (2, d_ff, padded) without a gate. `scales`, (3 or 2, d_ff) float32, are what int8 rows
    are multiplied by. The biases are float32: `gate_bias` and `up_bias` (d_ff,), `out_bias` (d,).
    `reason` says why `backend` was chosen.
    """

    scales: "torch.Tensor | None" = field(repr=False)
    gate_bias: "torch.Tensor | None" = field(repr=False)
    up_bias: "torch.Tensor | None" = field(repr=False)
    out_bias: "torch.Tensor | None" = field(repr=False)
    activation: str
    d: int
    backend: str
    reason: str

    @property
    def d_ff(self) -> int:
        """Number of neurons."""
        return self.rows.shape[1]

    @property
    def gated(self) -> bool:
        """True when a gate multiplies the up projection."""
        return self.rows.shape[0] == 3


@dataclass(frozen=True, eq=False)
class PackedLinear(_Packed):
    """One linear layer's weights, input channel by input channel; made by `pack_linear`.

    `rows`, (1, inputs, padded), are the columns of the weight; `scales`, (1, inputs) float32, are
    what int8 rows are multiplied by; `bias` is (outputs,) float32.
    """

    scales: "torch.Tensor | None" = field(repr=False)
    bias: "torch.Tensor | None" = field(repr=False)
    outputs: int
    backend: str
    reason: str

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return self.rows.shape[1]


def pack_rows(
    matrices: "Sequence[torch.Tensor]", dtype: "torch.dtype"
) -> "tuple[torch.Tensor, torch.Tensor | None]":
    """(rows, scales) of matrices of one shape, (count, size), whose rows of equal index are read
    together.

    In int8 every row of every matrix is rounded to the nearest of 255 steps between minus and plus
    its largest absolute value: an error of at most half a step, 1/254 of that value.
    """
    import torch

    count, size = matrices[0].shape
    padded = -(-size // LANES) * LANES
    rows = torch.empty((len(matrices), count, padded), dtype=dtype, device=matrices[0].device)
    in_large_pages(rows)
    rows[..., size:] = 0
    scales = None
    if dtype == torch.int8:
        scales = torch.ones((len(matrices), count), device=rows.device)
    for place, matrix in enumerate(matrices):
        values = matrix.detach()
        if scales is not None:
            values = values.float()
            if not bool(torch.isfinite(values).all()):
                raise ValueError("weights that are not finite have no int8 form")
            largest = values.abs().amax(dim=1)
            scales[place] = torch.where(largest > 0, largest / _INT8_STEPS, 1.0)
            values = (values / scales[place, :, None]).round()
        rows[place, :, :size] = values.to(dtype)
    return rows, scales


def in_large_pages(memory: "torch.Tensor") -> None:
    """Ask for large pages for memory that has not been written to yet: rows are read in any order,
    and with small pages every other row would cost a walk through the page tables."""
    if memory.device.type != "cpu" or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    start = -(-memory.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    size = memory.data_ptr() + memory.nbytes - start
    if size > _LARGE_PAGE:
        # Only advice: nothing is lost where the system does not follow it.
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(size), mmap.MADV_HUGEPAGE)


def unpack_rows(
    rows: "torch.Tensor", scales: "torch.Tensor | None", place: int, size: int
) -> "torch.Tensor":
    """One matrix back, (count, size) float32."""
    values = rows[place, :, :size].float()
    return values if scales is None else values * scales[place, :, None]
