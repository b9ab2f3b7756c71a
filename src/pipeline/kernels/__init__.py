"""Sparse kernels: FFNs and linear layers that read only the active part of their weights."""

from pipeline.kernels.interface import (
    Availability,
    available_backends,
    pack_ffn,
    pack_linear,
    sparse_ffn,
    sparse_linear,
)
from pipeline.kernels.packed import PackedFFN, PackedLinear

__all__ = [
    "Availability",
    "PackedFFN",
    "PackedLinear",
    "available_backends",
    "pack_ffn",
    "pack_linear",
    "sparse_ffn",
    "sparse_linear",
]
