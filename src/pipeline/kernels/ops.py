"""The kernels as torch operators, so that torch.compile and torch.export pass through them.

They take tensors and plain values; `interface.sparse_ffn` and `sparse_linear` say what these mean.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.kernels.checks import check_active, check_input, check_rows, check_threshold
from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.registry import KERNELS

if TYPE_CHECKING:
    import torch

NAMESPACE = "cold_neurons"
_SCHEMAS = (
    "sparse_ffn(Tensor x, Tensor rows, Tensor? scales, Tensor? gate_bias, Tensor? up_bias, "
    "Tensor? out_bias, Tensor? active, float? threshold, str activation, str backend) -> Tensor",
    "sparse_linear(Tensor x, Tensor rows, Tensor? scales, Tensor? bias, float threshold, "
    "int outputs, str backend) -> Tensor",
)


def operators() -> Any:
    """torch.ops.cold_neurons."""
    import torch

    # A traced call works on packed weights, and packing has registered the operators as well.
    if not torch.compiler.is_compiling():
        register()
    return torch.ops.cold_neurons


def plain(x: "torch.Tensor", active: "torch.Tensor | None" = None) -> bool:
    """True for a plain call: nothing is traced, and no mode, transform or tensor subclass is
    involved. Such a call can bypass torch's dispatcher, which all of those need, and which costs a
    tenth of a millisecond when a model's weights have evicted everything else from the cache."""
    import torch

    if torch.compiler.is_compiling():
        return False
    return (
        type(x) is torch.Tensor
        and (active is None or type(active) is torch.Tensor)
        # Bits that mark torch's lazy tensors, whose memory holds other numbers, or none.
        and not x.is_neg()
        and not x._is_zerotensor()
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._len_torch_function_stack()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._get_tracing_state() is None
    )


@cache
def register() -> Any:
    """Define the operators; they live as long as the returned object, which is kept."""
    import torch

    library = torch.library.Library(NAMESPACE, "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    for name, function, shape in (
        ("sparse_ffn", _ffn, _ffn_shape),
        ("sparse_linear", _linear, _linear_shape),
    ):
        for key in ("CPU", "CUDA"):
            library.impl(name, function, key)
        torch.library.register_fake(f"{NAMESPACE}::{name}", shape, lib=library)
    return library


def _ffn(
    x: "torch.Tensor",
    rows: "torch.Tensor",
    scales: "torch.Tensor | None",
    gate_bias: "torch.Tensor | None",
    up_bias: "torch.Tensor | None",
    out_bias: "torch.Tensor | None",
    active: "torch.Tensor | None",
    threshold: float | None,
    activation: str,
    backend: str,
) -> "torch.Tensor":
    check_input(x, rows, x.shape[-1])
    check_rows(rows, scales, (2, 3), x.shape[1])
    if threshold is not None:
        check_threshold(threshold)
    if active is not None:
        check_active(active, x, rows.shape[1])
    biases = gate_bias, up_bias, out_bias
    packed = PackedFFN(rows, scales, *biases, activation, x.shape[1], backend, "")
    found: torch.Tensor = KERNELS.load(backend).ffn(x, packed, active, threshold)
    return found


def _linear(
    x: "torch.Tensor",
    rows: "torch.Tensor",
    scales: "torch.Tensor | None",
    bias: "torch.Tensor | None",
    threshold: float,
    outputs: int,
    backend: str,
) -> "torch.Tensor":
    check_rows(rows, scales, (1,), outputs)
    check_input(x, rows, rows.shape[1])
    check_threshold(threshold)
    packed = PackedLinear(rows, scales, bias, outputs, backend, "")
    found: torch.Tensor = KERNELS.load(backend).linear(x, packed, threshold)
    return found


def _ffn_shape(x: "torch.Tensor", *_rest: object) -> "torch.Tensor":
    return x.new_empty(x.shape)


def _linear_shape(
    x: "torch.Tensor",
    rows: "torch.Tensor",
    scales: "torch.Tensor | None",
    bias: "torch.Tensor | None",
    threshold: float,
    outputs: int,
    backend: str,
) -> "torch.Tensor":
    return x.new_empty((x.shape[0], outputs))
