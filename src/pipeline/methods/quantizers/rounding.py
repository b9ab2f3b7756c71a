"""Round to nearest: weights as small integers with a scale for each group, or as shorter floats."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Smallest scale. Below it float32 loses digits, and the rounded scale would cut off large weights.
_SMALLEST_SCALE = 2.0**-126


def quantized(
    weight: "torch.Tensor", bits: int, group: int | None
) -> "tuple[torch.Tensor, torch.Tensor]":
    """(codes, scales): symmetric integers, int8 (outputs, inputs), and float32 (outputs, groups).

    Every `group` consecutive inputs of a row share a scale; the last group has fewer where `group`
    does not divide the row, and None makes the whole row one group. The scale is max|w| / c with c
    = 2^(bits-1) - 1, but at least 2^-126, and 1 for a group of zeros; codes are w / scale rounded
    half to even, in -c..c. There is no zero point and no -c - 1, so 0 stays exactly 0 (pruned
    weights stay pruned) and -w has the code of w, negated. Quotients are float64.

    |w - code * scale| <= scale / 2, except for the scale's own rounding to float32 (at most 2^-24
    of max|w|). Quantising the restored weight gives the same codes again in float32 and float64.

    ValueError unless bits is 2 to 8, group positive, the weight a matrix of finite floating point
    numbers, and every scale within float32.
    """
    import torch
    from torch.nn.functional import pad

    if not 2 <= bits <= 8:
        raise ValueError(f"bits {bits}: allowed are 2 to 8")
    if weight.ndim != 2 or not weight.is_floating_point():
        raise ValueError(
            f"weight of shape {tuple(weight.shape)} and type {weight.dtype}: needed are floating "
            "point numbers of shape (outputs, inputs)"
        )
    outputs, inputs = weight.shape
    width = _width(group, inputs)
    largest_code = 2 ** (bits - 1) - 1
    grouped = pad(weight.double(), (0, -inputs % width)).reshape(outputs, -1, width)
    largest = grouped.abs().amax(dim=2)
    scales = (largest / largest_code).float().clamp(min=_SMALLEST_SCALE)
    if not scales.isfinite().all():
        raise ValueError(
            f"largest magnitude {float(largest.max())}: every weight has to be finite, and its "
            "scale within float32"
        )
    scales = torch.where(largest == 0, 1.0, scales)
    # No clamp is needed: the scale's rounding takes quotients beyond c by a relative 2^-23 at most.
    codes = (grouped / scales.double()[:, :, None]).round()
    return codes.to(torch.int8).reshape(outputs, -1)[:, :inputs].contiguous(), scales


def restored(
    codes: "torch.Tensor", scales: "torch.Tensor", group: int | None, dtype: "torch.dtype"
) -> "torch.Tensor":
    """code * scale, (outputs, inputs) in `dtype`: exact in float64, rounded once to float32.

    Takes what `quantized` returned, with the same group. In a shorter type the bound there grows by
    that type's own rounding of |w|.

    ValueError where the shapes do not fit together.
    """
    outputs, inputs = codes.shape
    width = _width(group, inputs)
    if tuple(scales.shape) != (outputs, -(-inputs // width)):
        raise ValueError(
            f"codes {tuple(codes.shape)} and scales {tuple(scales.shape)}: groups of {width} inputs"
            f" need scales of shape {(outputs, -(-inputs // width))}"
        )
    each = scales.double().repeat_interleave(width, dim=1)[:, :inputs]
    return (codes.double() * each).to(dtype)


def rounded_to(weight: "torch.Tensor", dtype_name: str) -> "torch.Tensor":
    """The weight rounded to `bfloat16` or `float16` (to nearest, half to even) and back to its own
    type, any shape. 0 stays 0; what the shorter type holds stays as it is.

    ValueError for any other type, and where a number is not finite or beyond the shorter type.
    """
    import torch

    types = {"bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype_name not in types:
        raise ValueError(f"type {dtype_name!r}: allowed are {', '.join(types)}")
    rounded = weight.to(types[dtype_name])
    if not rounded.isfinite().all():
        raise ValueError(
            f"largest magnitude {float(weight.abs().max())}: {dtype_name} holds finite numbers up "
            f"to {torch.finfo(types[dtype_name]).max}"
        )
    return rounded.to(weight.dtype)


def _width(group: int | None, inputs: int) -> int:
    """Inputs that share a scale; one group may be wider than the row."""
    if group is not None and group < 1:
        raise ValueError(f"group {group}: allowed are 1 input or more, and None for a whole row")
    return max(1, inputs if group is None else min(group, inputs))
