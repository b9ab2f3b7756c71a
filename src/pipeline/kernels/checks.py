"""Checks of the kernels' inputs, for both the interface and the operators."""

from typing import TYPE_CHECKING

from pipeline.kernels.packed import LANES

if TYPE_CHECKING:
    import torch

FLOATS = ("torch.float32", "torch.bfloat16", "torch.float16")


def check_input(x: "torch.Tensor", weights: "torch.Tensor", size: int) -> None:
    """ValueError for an input that does not fit packed weights of `size` channels."""
    import torch

    if not isinstance(x, torch.Tensor):
        raise ValueError(f"x is a {type(x).__name__}, expected a tensor")
    if x.dim() != 2 or x.shape[1] != size:
        raise ValueError(f"x is {tuple(x.shape)}, expected (batch, {size})")
    if str(x.dtype) not in FLOATS:
        raise ValueError(f"x is {x.dtype}, expected float32, bfloat16 or float16")
    if x.device != weights.device:
        raise ValueError(f"x is on {x.device}, the weights are on {weights.device}")
    if torch.is_grad_enabled() and x.requires_grad or _has_tangent(x):
        raise ValueError("the kernels have no gradient: call them under torch.no_grad()")


def _has_tangent(x: "torch.Tensor") -> bool:
    from torch.autograd import forward_ad

    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(x).tangent is not None


def check_threshold(threshold: float) -> None:
    """ValueError for what is not a threshold."""
    # A pair: torch 2.6 does not compile a union.
    if not isinstance(threshold, (int, float)):
        raise ValueError(f"threshold is a {type(threshold).__name__}, expected a number")
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold}, expected 0 or more")


def check_active(active: "torch.Tensor", x: "torch.Tensor", d_ff: int) -> None:
    """ValueError for what is neither a mask nor indices of `d_ff` neurons; the values of indices
    are for the backends to look at."""
    import torch

    if not isinstance(active, torch.Tensor):
        raise ValueError(f"active is a {type(active).__name__}, expected a tensor")
    if active.device != x.device:
        raise ValueError(f"active is on {active.device}, x is on {x.device}")
    if active.dtype == torch.bool:
        shapes = ((d_ff,), (x.shape[0], d_ff))
        if tuple(active.shape) not in shapes:
            raise ValueError(
                f"active is a mask of {tuple(active.shape)}, expected {shapes[0]} or {shapes[1]}"
            )
    elif active.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"active is {active.dtype}, expected a bool mask or int64 or int32 indices"
        )
    elif active.dim() != 1:
        raise ValueError(f"active is {tuple(active.shape)}, expected a vector of indices")


def check_rows(
    rows: "torch.Tensor", scales: "torch.Tensor | None", matrices: tuple[int, ...], size: int
) -> None:
    """ValueError for rows or scales that `pack_rows` would not return for that many `matrices` with
    rows of `size`."""
    import torch

    padded = -(-size // LANES) * LANES
    if rows.dim() != 3 or rows.shape[0] not in matrices or rows.shape[2] != padded:
        raise ValueError(f"rows are {tuple(rows.shape)}: no packed weights of {size} outputs")
    if not rows.is_contiguous() or (rows.dtype == torch.int8) != (scales is not None):
        raise ValueError("rows are not as they were packed")
