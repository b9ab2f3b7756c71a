"""The kernels' public interface: pack weights once, then compute with the parts that are active."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.kernels.activations import kernel_name
from pipeline.kernels.backend import Backend
from pipeline.kernels.checks import FLOATS, check_active, check_input, check_threshold
from pipeline.kernels.ops import operators, plain, register
from pipeline.kernels.packed import PackedFFN, PackedLinear, pack_rows
from pipeline.registry import KERNELS

if TYPE_CHECKING:
    import torch

AUTO = "auto"


@dataclass(frozen=True)
class Availability:
    """One backend: `details` says what it runs on, or, when it is missing, why."""

    name: str
    available: bool
    details: str


def available_backends() -> tuple[Availability, ...]:
    """Every backend, in the order in which "auto" looks for one."""
    found = []
    for name in KERNELS:
        kernels = KERNELS.load(name)
        reason = kernels.missing()
        found.append(Availability(name, reason is None, reason or kernels.details()))
    return tuple(found)


def pack_ffn(
    gate: "torch.Tensor | None",
    up: "torch.Tensor",
    down: "torch.Tensor",
    *,
    activation: str,
    biases: "tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None] | None" = None,
    dtype: "torch.dtype | None" = None,
    backend: str = AUTO,
) -> PackedFFN:
    """Lay an FFN's weights out neuron by neuron, for `sparse_ffn`.

    `gate` and `up` are (d_ff, d), `down` is (d, d_ff), as in Hugging Face's models; without a gate
    `up` is the first matrix. `biases` are those of gate, up and down. `activation` is a Hugging
    Face name. `dtype` is what weights are kept in: float32, bfloat16, float16 or int8 (a scale for
    every row of gate and up and every column of down); None keeps their own. `backend` is one of
    `available_backends()`, or "auto": the first that is here and serves the weights' device.

    ValueError for shapes, dtypes and devices that do not go together, an unknown activation and a
    backend that is missing.
    """
    gate_bias, up_bias, out_bias = biases or (None, None, None)
    if gate is None and gate_bias is not None:
        raise ValueError("biases: a gate's bias without a gate")
    _check("up", up, (None, None))
    d_ff, d = up.shape
    matrices = [up, down.T] if gate is None else [gate, up, down.T]
    _check("down", down, (d, d_ff), up)
    if gate is not None:
        _check("gate", gate, (d_ff, d), up)
    for name, bias, size in (
        ("gate", gate_bias, d_ff), ("up", up_bias, d_ff), ("down", out_bias, d)
    ):  # fmt: skip
        if bias is not None:
            _check(f"the bias of {name}", bias, (size,), up)
    name = kernel_name(activation)
    rows, scales = pack_rows(matrices, _weights(dtype or up.dtype))
    chosen, reason = choose(backend, rows)
    return PackedFFN(
        rows, scales, _float(gate_bias), _float(up_bias), _float(out_bias), name, d, chosen, reason
    )


def sparse_ffn(
    x: "torch.Tensor",
    packed: PackedFFN,
    *,
    active: "torch.Tensor | None" = None,
    threshold: "float | None" = None,
) -> "torch.Tensor":
    """down(activation(gate x) * up x) of the neurons that take part, (batch, d) in x's dtype.

    `x` is (batch, d), float32, bfloat16 or float16. `active` says which neurons may take part: a
    bool mask, (d_ff,) for all rows of x or (batch, d_ff), or a vector of indices, each once, which
    makes the backends on a GPU wait to read it (a mask does not). `threshold`, 0 or more, leaves
    out those with |activation(gate x)| <= threshold (without a gate, |activation(up x)|): all gates
    are read, and with ReLU 0 is exact. With both, a neuron must pass both.

    Skipped neurons are not read, so NaN and infinity in them have no effect; those in other neurons
    do. Sums are float32, relative error about 1e-6 before the result is rounded to x's dtype. There
    is no gradient.

    ValueError for wrong shapes, dtypes and devices, and for indices outside or given twice.
    """
    _check_kind(packed, PackedFFN, "pack_ffn")
    check_input(x, packed.rows, packed.d)
    if threshold is not None:
        check_threshold(threshold)
    if active is not None:
        check_active(active, x, packed.d_ff)
    if plain(x, active):
        backend: Backend = KERNELS.load(packed.backend)
        return backend.ffn(x, packed, active, threshold)
    return operators().sparse_ffn(
        x, packed.rows, packed.scales, packed.gate_bias, packed.up_bias, packed.out_bias, active,
        threshold, packed.activation, packed.backend,
    )  # fmt: skip


def pack_linear(
    weight: "torch.Tensor",
    bias: "torch.Tensor | None" = None,
    *,
    dtype: "torch.dtype | None" = None,
    backend: str = AUTO,
) -> PackedLinear:
    """Lay a linear layer's weights, (outputs, inputs), out input channel by input channel, for
    `sparse_linear`. `dtype` and `backend` as in `pack_ffn`, int8 with a scale for every input."""
    _check("weight", weight, (None, None))
    outputs = weight.shape[0]
    if bias is not None:
        _check("bias", bias, (outputs,), weight)
    rows, scales = pack_rows([weight.T], _weights(dtype or weight.dtype))
    chosen, reason = choose(backend, rows)
    return PackedLinear(rows, scales, _float(bias), outputs, chosen, reason)


def sparse_linear(x: "torch.Tensor", packed: PackedLinear, *, threshold: float) -> "torch.Tensor":
    """W x + bias, (batch, outputs) in x's dtype, over the channels with |x_i| > threshold.

    `x` is (batch, inputs), float32, bfloat16 or float16; channels are skipped row by row, and read
    when any row needs them. For what is exact and what is an error see `sparse_ffn`.
    """
    _check_kind(packed, PackedLinear, "pack_linear")
    check_input(x, packed.rows, packed.inputs)
    check_threshold(threshold)
    if plain(x):
        backend: Backend = KERNELS.load(packed.backend)
        return backend.linear(x, packed, threshold)
    return operators().sparse_linear(
        x, packed.rows, packed.scales, packed.bias, threshold, packed.outputs, packed.backend
    )


def choose(backend: str, weights: "torch.Tensor") -> tuple[str, str]:
    """(name, reason) of the backend for weights; ValueError when the one asked for cannot serve."""
    register()
    passed: list[str] = []
    for name in KERNELS if backend == AUTO else (KERNELS.check(backend),):
        kernels = KERNELS.load(name)
        reason = kernels.missing() or kernels.serves(weights)
        if reason is None and backend == AUTO and kernels.emulated():
            reason = f"it is {kernels.details()}"
        if reason is None:
            asked = "asked for" if backend != AUTO else "the first that serves"
            return name, "; ".join([*passed, f"{name}: {asked} ({kernels.details()})"])
        passed.append(f"{name} does not serve: {reason}")
    raise ValueError(f"kernel backend {'; '.join(passed)}")


def check_timed(backend: str) -> None:
    """ValueError where a backend, "auto" or one by its name, computes in an interpreter, whose
    times would mean nothing."""
    if backend != AUTO and KERNELS.load(KERNELS.check(backend)).emulated():
        raise ValueError(
            f"kernel backend {backend} is {KERNELS.load(backend).details()}; it is not timed, and "
            "what rests on its speed is not decided"
        )


def _float(values: "torch.Tensor | None") -> "torch.Tensor | None":
    return None if values is None else values.detach().float().contiguous()


def _weights(dtype: "torch.dtype") -> "torch.dtype":
    if str(dtype) not in (*FLOATS, "torch.int8"):
        raise ValueError(
            f"weights of {dtype!r}: the kernels keep torch.float32, bfloat16, float16 and int8"
        )
    return dtype


def _check(
    name: str,
    values: "torch.Tensor",
    shape: tuple[int | None, ...],
    like: "torch.Tensor | None" = None,
) -> None:
    import torch

    if not isinstance(values, torch.Tensor):
        raise ValueError(f"{name} is a {type(values).__name__}, expected a tensor")
    fits = values.dim() == len(shape) and all(
        want in (None, has) for want, has in zip(shape, values.shape, strict=True)
    )
    if not fits:
        told = ", ".join("any" if size is None else str(size) for size in shape)
        told += "," if len(shape) == 1 else ""
        raise ValueError(f"{name} is {tuple(values.shape)}, expected ({told})")
    if not values.is_floating_point():
        raise ValueError(f"{name} is {values.dtype}: weights are given as floating-point numbers")
    if like is not None and len(shape) == 2 and values.dtype != like.dtype:
        raise ValueError(f"{name} is {values.dtype}, other weights are {like.dtype}")
    if like is not None and values.device != like.device:
        raise ValueError(f"{name} is on {values.device}, other weights are on {like.device}")
    if not values.numel():
        raise ValueError(f"{name} is empty: {tuple(values.shape)}")


def _check_kind(packed: object, kind: type, made_by: str) -> None:
    if not isinstance(packed, kind):
        raise ValueError(f"packed is a {type(packed).__name__}, expected what {made_by} gives")
