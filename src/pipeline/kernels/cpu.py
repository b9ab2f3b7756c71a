"""The C++ kernels: float32, bfloat16, float16 and int8 weights, sums in float32, any x86 or ARM.

Sources are in cpp/; `library` calls the shared library that is built from them. A result has the
same bits for any number of threads. Up to 16 rows of x are computed together; more are computed in
parts.
"""

import ctypes
from functools import cache
from typing import TYPE_CHECKING

from pipeline.kernels import library
from pipeline.kernels.packed import PackedFFN, PackedLinear

if TYPE_CHECKING:
    import torch

#: In the order of the C++ enumerations.
_DTYPES = ("torch.float32", "torch.bfloat16", "torch.float16", "torch.int8")
_ACTIVATIONS = ("identity", "relu", "relu2", "silu", "gelu", "gelu_tanh", "relu6")


class Cpu:
    """The compiled library, behind the interface of all backends."""

    def missing(self) -> str | None:
        """Why the backend is not available here; None when it is."""
        if not library.path().exists():
            return (
                "the C++ kernels are not built: they are when the package is installed where there "
                "is a C++ compiler (on Debian and Ubuntu: apt-get install g++), and later by: make "
                "kernels"
            )
        try:
            _library()
        except (OSError, AttributeError) as error:
            return f"the C++ kernels do not load ({error}); build them anew: make kernels"
        return None

    def details(self) -> str:
        """What it runs on."""
        return f"{_best()}, {'OpenMP' if _library().cold_has_openmp() else 'one thread'}"

    def emulated(self) -> bool:
        """Never."""
        return False

    def instruction_sets(self) -> tuple[str, ...]:
        """Those of the compiled loops that this processor runs, the best first."""
        _library()
        return library.instruction_sets()

    def serves(self, weights: "torch.Tensor") -> str | None:
        """Why the backend cannot compute with these weights; None when it can."""
        if weights.device.type != "cpu":
            return f"weights are on {weights.device}"
        if str(weights.dtype) not in _DTYPES:
            return f"weights are {weights.dtype}"
        return None

    def ffn(
        self,
        x: "torch.Tensor",
        packed: PackedFFN,
        active: "torch.Tensor | None",
        threshold: "float | None",
        isa: str | None = None,
    ) -> "torch.Tensor":
        """See `sparse_ffn`; `isa` names one of `instruction_sets()`, None the best."""
        import torch

        batch, d = x.shape
        y = torch.empty(batch, d, dtype=x.dtype)
        mask = stride = indices = 0
        count = -1
        if active is not None:
            # Under one name, so that a copy lives as long as its address is in use.
            active = active.contiguous()
            if active.dtype == torch.bool:
                mask, stride = active.data_ptr(), active.stride(0) if active.dim() == 2 else 0
            else:
                active = active.long()
                indices, count = active.data_ptr(), len(active)
        call = library.call(
            x.data_ptr(), *x.stride(), batch, mask, stride, indices, count, y.data_ptr(),
            threshold or 0.0, _code(x.dtype), threshold is not None, torch.get_num_threads(),
        )  # fmt: skip
        _layer(packed, isa).ffn(call)
        return y

    def linear(
        self, x: "torch.Tensor", packed: PackedLinear, threshold: float, isa: str | None = None
    ) -> "torch.Tensor":
        """See `sparse_linear`; `isa` as in `ffn`."""
        import torch

        y = torch.empty(len(x), packed.outputs, dtype=x.dtype)
        call = library.call(
            x.data_ptr(), *x.stride(), len(x), 0, 0, 0, -1, y.data_ptr(), threshold,
            _code(x.dtype), True, torch.get_num_threads(),
        )  # fmt: skip
        _layer(packed, isa).linear(call)
        return y


CPU = Cpu()


def _library() -> ctypes.CDLL:
    # torch first: the library then shares its OpenMP threads.
    import torch  # noqa: F401

    return library.library()


@cache
def _best() -> str:
    return CPU.instruction_sets()[0]


@cache
def _code(dtype: "torch.dtype") -> int:
    return _DTYPES.index(str(dtype))


def _layer(packed: PackedFFN | PackedLinear, isa: str | None) -> library.Layer:
    """The weights in the library's form, kept for the next call."""
    isa = isa or _best()
    if isinstance(packed, PackedFFN):
        biases = packed.gate_bias, packed.up_bias, packed.out_bias
    else:
        biases = None, None, packed.bias
    # Tensors can be moved in place, into shared memory for instance.
    lie = tuple(map(_at, (packed.rows, packed.scales, *biases)))
    before = packed.kept.get(isa)
    if before is not None and before[0] == lie:
        kept: library.Layer = before[1]
        return kept
    layer = _prepared(packed, isa, lie)
    packed.kept[isa] = lie, layer
    return layer


def _prepared(packed: PackedFFN | PackedLinear, isa: str, lie: tuple[int, ...]) -> library.Layer:
    rows, scales, *biases = lie
    if isinstance(packed, PackedFFN):
        activation, outputs = packed.activation, packed.d
    else:
        activation, outputs = _ACTIVATIONS[0], packed.outputs
    return library.Layer(
        isa, rows, _code(packed.rows.dtype), *packed.rows.shape, scales, *biases,
        _ACTIVATIONS.index(activation), outputs,
    )  # fmt: skip


def _at(values: "torch.Tensor | None") -> int:
    return 0 if values is None else values.data_ptr()
