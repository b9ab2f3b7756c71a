"""Activation functions of the kernels: those of the supported architectures, by the names Hugging
Face gives them."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: What the kernels call each of Hugging Face's names.
NAMES = {
    "identity": "identity",
    "linear": "identity",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "relu_squared": "relu2",
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_fast": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def kernel_name(activation: str) -> str:
    """The kernels' name of an activation; ValueError, naming the known ones, where there is
    none."""
    if activation not in NAMES:
        raise ValueError(f"activation {activation!r}: the kernels have {', '.join(sorted(NAMES))}")
    return NAMES[activation]


def function(name: str) -> "Callable[[torch.Tensor], torch.Tensor]":
    """The function for one of the kernels' names."""
    import torch

    functions: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "identity": lambda v: v,
        "relu": torch.relu,
        "relu2": lambda v: torch.relu(v).square(),
        "relu6": torch.nn.functional.relu6,
        "silu": torch.nn.functional.silu,
        # Written out, because the result of torch's own functions for an infinity depends on its
        # place in memory.
        "gelu": lambda v: 0.5 * v * (1 + torch.erf(v * 0.5**0.5)),
        "gelu_tanh": lambda v: (
            0.5 * v * (1 + torch.tanh((2 / math.pi) ** 0.5 * (v + 0.044715 * v * v * v)))
        ),
    }
    return functions[name]
