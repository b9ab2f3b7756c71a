"""The Triton kernels: GPUs that torch knows as "cuda", and, to be tested, Triton's interpreter."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.kernels.reference import check_indices

if TYPE_CHECKING:
    import torch

#: Elements of a program's sums that its registers hold: rows of x times outputs.
_REGISTERS = 16384
#: Programs that the neurons are divided among, for each of a GPU's processors; in the interpreter,
#: in total.
_PROGRAMS_OF_PROCESSOR = 2
_PROGRAMS_INTERPRETED = 3
#: Outputs of a linear layer's program, and elements of the products it holds.
_LINEAR_BLOCK = 128
_LINEAR_PRODUCTS = 8192
_ADDED = 256
_BATCH = 16
_WARPS = (4, 8, 16)
#: Arguments for whose every new value a program is tuned again.
_KEYS = {
    "ffn": ["d", "d_ff", "MATRICES", "BATCH", "LISTED", "THRESHOLDED"],
    "linear": ["inputs", "padded", "BATCH"],
}


class Triton:
    """Sums in float32, added in a fixed order; a call can be part of a CUDA graph."""

    def missing(self) -> str | None:
        """Why the backend is not here; None when it is."""
        import torch

        if importlib.util.find_spec("triton") is None:
            return "triton is not installed (pip install triton)"
        if not torch.cuda.is_available() and not interpreted():
            return "torch finds no GPU, and TRITON_INTERPRET=1 is not set"
        return None

    def details(self) -> str:
        """What it runs on."""
        import torch

        return (
            "Triton's interpreter, for tests; not chosen unasked"
            if interpreted()
            else torch.cuda.get_device_name()
        )

    def emulated(self) -> bool:
        """Whether Triton's interpreter runs the programs."""
        return interpreted()

    def serves(self, weights: "torch.Tensor") -> str | None:
        """Why the backend cannot compute with these weights; None when it can."""
        if weights.device.type != "cuda" and not interpreted():
            return f"weights are on {weights.device}"
        return None

    def ffn(
        self,
        x: "torch.Tensor",
        packed: PackedFFN,
        active: "torch.Tensor | None",
        threshold: float | None,
    ) -> "torch.Tensor":
        """See `sparse_ffn`. Indices are read, which waits for the GPU, except while the call is
        captured in a CUDA graph; a mask never makes it wait."""
        import torch

        by_mask = active is None or active.dtype == torch.bool
        if active is not None and not by_mask and not _capturing(x):
            check_indices(active, packed.d_ff)
        by_row = active is not None and active.dim() == 2
        return _in_parts(
            x, packed.d,
            lambda part: self._ffn(
                x[part], packed, active[part] if by_row else active, threshold  # type: ignore[index]
            ),
        )  # fmt: skip

    def _ffn(
        self,
        x: "torch.Tensor",
        packed: PackedFFN,
        active: "torch.Tensor | None",
        threshold: float | None,
    ) -> "torch.Tensor":
        import torch
        import triton

        kernels = _kernels()
        batch, d, padded = len(x), packed.d, packed.rows.shape[2]
        y = _result(x, d)
        mask = listed = count = None
        if active is not None and active.dtype == torch.bool:
            listed, count = _listed(kernels, active)
            mask = active.contiguous() if active.dim() == 2 and batch > 1 else None
        elif active is not None:
            listed = active.contiguous()
            count = torch.full((1,), len(active), dtype=torch.int32, device=x.device)
        block = triton.next_power_of_2(padded)
        together = _together(batch, block)
        programs = _programs(x)
        sums = torch.empty(programs, batch, padded, device=x.device)
        empty = sums
        _launch(
            _tuned("ffn"), (triton.cdiv(batch, together), programs), x,
            x, x.stride(0), x.stride(1), packed.rows, _or(packed.scales, empty),
            _or(packed.gate_bias, empty), _or(packed.up_bias, empty), _or(listed, empty),
            _or(count, empty), _or(mask, empty), 0 if mask is None else mask.stride(0), sums,
            batch, d, packed.d_ff, padded, threshold or 0.0,
            MATRICES=len(packed.rows), SCALES=packed.scales is not None,
            GATE_BIAS=packed.gate_bias is not None, UP_BIAS=packed.up_bias is not None,
            LISTED=listed is not None, MASKED=mask is not None, THRESHOLDED=threshold is not None,
            ACTIVATION=kernels.ACTIVATIONS.index(packed.activation), BATCH=together, BLOCK=block,
        )  # fmt: skip
        return _added(kernels, sums, packed.out_bias, y).to(x.dtype)

    def linear(self, x: "torch.Tensor", packed: PackedLinear, threshold: float) -> "torch.Tensor":
        """See `sparse_linear`."""
        return _in_parts(x, packed.outputs, lambda part: self._linear(x[part], packed, threshold))

    def _linear(self, x: "torch.Tensor", packed: PackedLinear, threshold: float) -> "torch.Tensor":
        import torch
        import triton

        kernels = _kernels()
        batch, padded = len(x), packed.rows.shape[2]
        y = _result(x, packed.outputs)
        together = min(4, triton.next_power_of_2(batch))
        tiles = triton.cdiv(padded, _LINEAR_BLOCK)
        splits = max(1, 2 * _programs(x) // tiles)
        sums = torch.empty(splits, batch, padded, device=x.device)
        _launch(
            _tuned("linear"), (triton.cdiv(batch, together), tiles, splits), x,
            x, x.stride(0), x.stride(1), packed.rows, _or(packed.scales, sums), sums,
            batch, packed.inputs, padded, threshold,
            SCALES=packed.scales is not None, BATCH=together,
            CHANNELS=_LINEAR_PRODUCTS // _LINEAR_BLOCK // together, BLOCK=_LINEAR_BLOCK,
        )  # fmt: skip
        return _added(kernels, sums, packed.bias, y).to(x.dtype)


TRITON = Triton()


def interpreted() -> bool:
    """True when Triton runs its programs one by one in numpy, on tensors of the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def _in_parts(
    x: "torch.Tensor", outputs: int, run: "Callable[[slice], torch.Tensor]"
) -> "torch.Tensor":
    """Run x a few rows at a time, since the programs' sums grow with the rows."""
    import torch

    if 0 < len(x) <= _BATCH:
        return run(slice(None))
    parts = [run(slice(start, start + _BATCH)) for start in range(0, len(x), _BATCH)]
    return torch.cat(parts) if parts else x.new_empty(0, outputs)


@cache
def _kernels() -> Any:
    # Triton's decorators look at the environment when they are applied.
    return importlib.import_module("pipeline.kernels.triton_kernels")


@cache
def _tuned(name: str) -> Any:
    """One of the programs that read weights, with the number of warps that is fastest at the first
    call of each shape; so a call has to be made once before it is captured in a CUDA graph."""
    import triton

    program = getattr(_kernels(), name)
    # The interpreter has no warps, and tuning needs a GPU's clock.
    if interpreted():
        return program
    configs = [triton.Config({}, num_warps=warps) for warps in _WARPS]
    return triton.autotune(configs, key=_KEYS[name])(program)


def _listed(kernels: Any, mask: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
    """(indices, how many) of the neurons that any row of x needs."""
    import torch
    import triton

    needed = (mask if mask.dim() == 1 else mask.any(dim=0)).contiguous()
    found = torch.empty(len(needed), dtype=torch.int32, device=mask.device)
    count = torch.empty(1, dtype=torch.int32, device=mask.device)
    block = triton.next_power_of_2(len(needed))
    _launch(kernels.list_active, (1,), mask, needed, found, count, len(needed), BLOCK=block)
    return found, count


def _added(
    kernels: Any, sums: "torch.Tensor", bias: "torch.Tensor | None", y: "torch.Tensor"
) -> "torch.Tensor":
    import triton

    batch, outputs = y.shape
    _launch(
        kernels.add_up, (batch, triton.cdiv(outputs, _ADDED)), y,
        sums, _or(bias, sums), y, batch, outputs, sums.shape[2], len(sums),
        BIAS=bias is not None, BLOCK=_ADDED,
    )  # fmt: skip
    return y


def _launch(
    kernel: Any, grid: tuple[int, ...], on: "torch.Tensor", *args: Any, **kwargs: Any
) -> None:
    import torch

    if on.device.type == "cuda":
        with torch.cuda.device(on.device):
            kernel[grid](*args, **kwargs)
    else:
        kernel[grid](*args, **kwargs)


def _result(x: "torch.Tensor", size: int) -> "torch.Tensor":
    """What the last program writes: in x's dtype, to which a GPU rounds to nearest. The interpreter
    cuts bfloat16 off, so there torch rounds."""
    import torch

    dtype = torch.float32 if interpreted() else x.dtype
    return torch.empty(len(x), size, dtype=dtype, device=x.device)


def _together(batch: int, block: int) -> int:
    """Rows of x that one program takes: as many as its registers hold."""
    import triton

    return int(min(triton.next_power_of_2(batch), max(1, _REGISTERS // block)))


def _programs(x: "torch.Tensor") -> int:
    import torch

    if x.device.type != "cuda":
        return _PROGRAMS_INTERPRETED
    processors: int = torch.cuda.get_device_properties(x.device).multi_processor_count
    return _PROGRAMS_OF_PROCESSOR * processors


def _capturing(x: "torch.Tensor") -> bool:
    import torch

    return x.device.type == "cuda" and torch.cuda.is_current_stream_capturing()


def _or(values: "torch.Tensor | None", other: "torch.Tensor") -> "torch.Tensor":
    """`values`, or `other` where they are None: a program needs an address, even where it reads
    nothing."""
    return other if values is None else values
