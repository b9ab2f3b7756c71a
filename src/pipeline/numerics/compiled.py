"""Counting in the bins of `histograms` by a compiled loop, where it was built: the same numbers as
torch's, in a third of the time.

The loop is in the shared library of the kernels, which is loaded here without them: no profile
changes with them.
"""

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LIBRARY = Path(__file__).parents[1] / "kernels" / "cpp" / "libcold_kernels.so"


def available() -> bool:
    """True where `count_bins` can be called."""
    return _loop() is not None


def count_bins(values: "torch.Tensor", counts: "torch.Tensor") -> None:
    """Count CPU values of any shape in `counts`, (2, 2^15) int64, whose rows together count."""
    loop, held = _loop(), values.float().contiguous()
    if loop is None:
        raise ValueError("the compiled library is not built here")
    loop(held.data_ptr(), held.numel(), counts.data_ptr())


@cache
def _loop() -> "ctypes._NamedFuncPointer | None":
    # torch first: the library then shares its OpenMP threads.
    import torch  # noqa: F401

    try:
        loop = ctypes.CDLL(str(_LIBRARY)).cold_count_bins
    except (OSError, AttributeError):
        # Not built here, or from other sources.
        return None
    loop.restype = None
    loop.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    return loop
