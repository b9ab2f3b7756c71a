"""What a profile counts, by compiled loops where they were built, in a third of torch's time.

Counts are the same as torch's, and sums differ in their last digits, as they do from one kind of
processor to the next. The loops are in the shared library of the kernels, which is loaded here
without them: no profile changes with them.
"""

import ctypes
from ctypes import c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LIBRARY = Path(__file__).parents[1] / "kernels" / "cpp" / "libcold_kernels.so"
#: What each loop takes; sizes count elements.
_LOOPS = {
    # Values, their number, and counts.
    "cold_count_bins": (c_void_p, c_int64, c_void_p),
    # Values, tokens, channels, above, sums, largest, and numbers of non-finite values.
    "cold_add_moments": (c_void_p, c_int64, c_int64, c_void_p, c_void_p, c_void_p, c_void_p),
}


def available() -> bool:
    """True where the loops can be called."""
    return _library() is not None


def count_bins(values: "torch.Tensor", counts: "torch.Tensor") -> None:
    """Count CPU values of any shape in `counts`, (2, 2^15) int64, whose rows together count those
    in each of the bins of `histograms`."""
    held = values.float().contiguous()
    _loaded().cold_count_bins(held.data_ptr(), held.numel(), counts.data_ptr())


def add_moments(
    values: "torch.Tensor",
    above: "torch.Tensor | None",
    sums: "torch.Tensor",
    most: "torch.Tensor",
    nonfinite: "torch.Tensor",
) -> None:
    """Add CPU values, (tokens, channels), to `sums`, (4, channels) float64, of |x|, its square,
    those that are not 0 and those with |x| above `above`, (channels,) float32 or None; to `most`,
    (channels,) float32, the largest |x|; and to `nonfinite`, (channels,) int64, how many are not
    finite, which enter nothing else. Runs of 128 tokens are summed in float32."""
    held = values.float().contiguous()
    _loaded().cold_add_moments(
        held.data_ptr(), *held.shape, None if above is None else above.data_ptr(),
        sums.data_ptr(), most.data_ptr(), nonfinite.data_ptr(),
    )  # fmt: skip


def _loaded() -> ctypes.CDLL:
    found = _library()
    if found is None:
        raise ValueError("the compiled library is not built here")
    return found


@cache
def _library() -> ctypes.CDLL | None:
    # torch first: the library then shares its OpenMP threads.
    import torch  # noqa: F401

    try:
        found = ctypes.CDLL(str(_LIBRARY))
        for name, taken in _LOOPS.items():
            loop = getattr(found, name)
            loop.restype, loop.argtypes = None, taken
    except (OSError, AttributeError):
        # Not built here, or from other sources.
        return None
    return found
