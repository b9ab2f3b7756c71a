"""The kernels as torch operators, so that torch.compile and torch.export pass through them.

They take tensors and plain values; what they mean stands at `interface.sparse_ffn` and
`sparse_linear`.
"""

import torch

from pipeline.kernels.packed import PackedFFN, PackedLinear
from pipeline.registry import KERNELS

_LIBRARY = torch.library.Library("cold_neurons", "DEF")
_LIBRARY.define(
    "sparse_ffn(Tensor x, Tensor rows, Tensor? scales, Tensor? gate_bias, Tensor? up_bias, "
    "Tensor? out_bias, Tensor? active, float? threshold, str activation, str backend) -> Tensor"
)
_LIBRARY.define(
    "sparse_linear(Tensor x, Tensor rows, Tensor? scales, Tensor? bias, float threshold, "
    "int outputs, str backend) -> Tensor"
)


def _ffn(
    x: torch.Tensor,
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    gate_bias: torch.Tensor | None,
    up_bias: torch.Tensor | None,
    out_bias: torch.Tensor | None,
    active: torch.Tensor | None,
    threshold: float | None,
    activation: str,
    backend: str,
) -> torch.Tensor:
    packed = PackedFFN(
        rows, scales, gate_bias, up_bias, out_bias, activation, x.shape[1], backend, ""
    )
    found: torch.Tensor = KERNELS.load(backend).ffn(x, packed, active, threshold)
    return found


def _linear(
    x: torch.Tensor,
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    bias: torch.Tensor | None,
    threshold: float,
    outputs: int,
    backend: str,
) -> torch.Tensor:
    packed = PackedLinear(rows, scales, bias, outputs, backend, "")
    found: torch.Tensor = KERNELS.load(backend).linear(x, packed, threshold)
    return found


for name, function in (("sparse_ffn", _ffn), ("sparse_linear", _linear)):
    for key in ("CPU", "CUDA"):
        _LIBRARY.impl(name, function, key)


@torch.library.register_fake("cold_neurons::sparse_ffn")
def _ffn_shape(x: torch.Tensor, *_rest: object) -> torch.Tensor:
    return x.new_empty(x.shape)


@torch.library.register_fake("cold_neurons::sparse_linear")
def _linear_shape(
    x: torch.Tensor,
    rows: torch.Tensor,
    scales: torch.Tensor | None,
    bias: torch.Tensor | None,
    threshold: float,
    outputs: int,
    backend: str,
) -> torch.Tensor:
    return x.new_empty((x.shape[0], outputs))
