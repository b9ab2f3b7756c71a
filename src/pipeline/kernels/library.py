"""The shared library of C++ kernels: where it lies, and its functions by ctypes.

Its interface is plain C, so one build serves every Python and needs only a C++ compiler.
"""

import ctypes
import struct
from ctypes import c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.kernels.packed import LANES

#: What setup.py calls the library that it builds.
NAME = "libcold_kernels.so"
#: Outcomes of a call, from exported.cpp.
_ERRORS = {1: ValueError, 2: MemoryError}

#: One call, in the order of `Call` in exported.cpp: x, its strides and rows; mask and its stride;
#: indices and their number (-1 for none); y; threshold; x's type; whether there is a threshold;
#: threads. Strides count elements. `0q` pads as C does.
CALL = struct.Struct("@PqqqPqPqPdiii0q")
call = CALL.pack

#: Function -> (what it returns, what it takes), as in exported.cpp. Sizes count elements.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "cold_lanes": (c_int, ()),
    "cold_call_size": (c_int, ()),
    "cold_has_openmp": (c_int, ()),
    "cold_instruction_set": (c_char_p, (c_int,)),
    "cold_message": (c_char_p, ()),
    "cold_layer": (
        c_void_p,
        # Instruction set; rows, their type, matrices, count and padded size; scales; biases of
        # gate, up and output; activation; outputs.
        (c_char_p, c_void_p, c_int, c_int, c_int64, c_int64, c_void_p, c_void_p, c_void_p, c_void_p,
         c_int, c_int64),
    ),
    "cold_free": (None, (c_void_p,)),
    # A layer, and what `call` packs.
    "cold_ffn": (c_int, (c_void_p, c_char_p)),
    "cold_linear": (c_int, (c_void_p, c_char_p)),
}  # fmt: skip


def path() -> Path:
    """Where the library is when it is built."""
    return Path(__file__).parent / "cpp" / NAME


@cache
def library() -> ctypes.CDLL:
    """The loaded library. OSError where it was not built, cannot be loaded here, or was built from
    other sources than these.

    Import torch first: the library then shares its OpenMP threads.
    """
    loaded = ctypes.CDLL(str(path()))
    for name, (returned, taken) in _FUNCTIONS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = returned, taken
    if (loaded.cold_call_size(), loaded.cold_lanes()) != (CALL.size, LANES):
        raise OSError(f"{path()} was built from other sources: `make kernels` builds it anew")
    return loaded


def instruction_sets() -> tuple[str, ...]:
    """Those of the compiled loops that this processor runs, the best first."""
    names = map(library().cold_instruction_set, range(len(_FUNCTIONS)))
    return tuple(name.decode() for name in names if name)


class Layer:
    """One layer's weights in the library's form: addresses of memory that the caller has to keep
    alive."""

    def __init__(self, isa: str, *facts: int) -> None:
        """`facts` as `cold_layer` takes them after the instruction set."""
        loaded = library()
        self.address = loaded.cold_layer(isa.encode(), *facts)
        if not self.address:
            raise ValueError(f"no instruction set {isa} here")
        self._ffn, self._linear, self._free = loaded.cold_ffn, loaded.cold_linear, loaded.cold_free

    def ffn(self, packed: bytes) -> None:
        """`cold_ffn` of what `call` packed. ValueError for an index outside, or given twice."""
        if outcome := self._ffn(self.address, packed):
            raise _error(outcome)

    def linear(self, packed: bytes) -> None:
        """`cold_linear` of what `call` packed."""
        if outcome := self._linear(self.address, packed):
            raise _error(outcome)

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._free(self.address)


def _error(outcome: int) -> Exception:
    return _ERRORS.get(outcome, RuntimeError)(library().cold_message().decode())
