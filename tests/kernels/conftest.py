"""Random weights and an oracle of the kernels' meaning that shares no code with them."""

import math

import numpy as np
import pytest
import torch

ACTIVATIONS = {
    "relu": lambda v: np.where(v <= 0, 0, v),
    "relu2": lambda v: np.where(v <= 0, 0, v) ** 2,
    "relu6": lambda v: np.clip(v, 0, 6),
    "silu": lambda v: v / (1 + np.exp(-v)),
    "gelu": lambda v: v * np.vectorize(lambda a: 0.5 * (1 + math.erf(a / math.sqrt(2))))(v),
    "gelu_new": lambda v: 0.5 * v * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))),
    "linear": lambda v: v,
}


class Oracle:
    """Neuron by neuron in float64, from the weights as a backend keeps them."""

    def __init__(self, gate, up, down, activation, biases=(None, None, None)):
        self.gate, self.up, self.down = (
            None if m is None else as_kept(m) for m in (gate, up, down)
        )
        self.gate_bias, self.up_bias, self.out_bias = (
            None if b is None else b.double().numpy() for b in biases
        )
        self.act = ACTIVATIONS[activation]

    def first(self, x):
        """|.| of these is what a threshold is compared with: (batch, d_ff)."""
        matrix, bias = (self.up, self.up_bias) if self.gate is None else (self.gate, self.gate_bias)
        return self.act(x.double().numpy() @ matrix.T + (0 if bias is None else bias))

    def ffn(self, x, active=None, threshold=None):
        """y, (batch, d) float64."""
        values, a = x.double().numpy(), self.first(x)
        out = np.zeros((len(values), self.down.shape[0]))
        for b in range(len(values)):
            for i in range(self.up.shape[0]):
                if active is not None and not np.broadcast_to(active, a.shape)[b, i]:
                    continue
                if threshold is not None and abs(a[b, i]) <= threshold:
                    continue
                h = a[b, i]
                if self.gate is not None:
                    h *= values[b] @ self.up[i] + (0 if self.up_bias is None else self.up_bias[i])
                out[b] += h * self.down[:, i]
        return out if self.out_bias is None else out + self.out_bias


def as_kept(matrix):
    """float64 numpy."""
    return matrix.double().numpy()


def rounded(matrix, dtype, per):
    """What stays of a matrix in a dtype, int8 by rows (per = 0) or by columns (per = 1)."""
    if dtype != torch.int8:
        return matrix.to(dtype).double()
    largest = matrix.double().abs().amax(dim=1 - per, keepdim=True)
    step = torch.where(largest > 0, largest / 127, 1.0)
    return (matrix.double() / step).round() * step


@pytest.fixture
def make_weights():
    """make_weights(d, d_ff, gated=True, seed=0) -> gate (or None), up, down."""

    def make(d, d_ff, gated=True, seed=0):
        draw = torch.Generator().manual_seed(seed)
        up, down, gate = (
            torch.randn(shape, generator=draw) / d**0.5
            for shape in ((d_ff, d), (d, d_ff), (d_ff, d))
        )
        return (gate if gated else None), up, down

    return make
