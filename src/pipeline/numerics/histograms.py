"""Histograms of float32 values whose bins are cut by the numbers' own bits.

A bin is a sign, an exponent and the first six bits of the mantissa, so it spans at most 1/64 of its
lower bound: any number taken from the bin of a quantile is within 1/64 of it, and the bin's middle
within 1/128. Counts are whole numbers, so histograms add exactly, in any order. Values below the
smallest normal number, 1.2e-38, count as zero.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UserError
from pipeline.numerics.counts import at_least

if TYPE_CHECKING:
    import polars as pl
    import torch

#: Number of bits of the mantissa that distinguish bins.
BITS = 6
#: Largest relative distance of a bin's middle from any value in it.
RELATIVE_ERROR = 2.0 ** -(BITS + 1)
_SHIFT = 23 - BITS
#: Number of bins of both signs, including those that `rows` leaves out.
BINS = 1 << (9 + BITS)
_NEGATIVE = BINS // 2
_FIRST_NORMAL, _INFINITE = 1 << BITS, 255 << BITS


def counts(values: "torch.Tensor") -> "torch.Tensor":
    """(2^15,) int64: how many values each bin holds; non-finite ones are in bins of their own,
    which `rows` leaves out."""
    import torch

    bits = values.float().contiguous().view(torch.int32) >> _SHIFT
    # The sign is the top bit, so negative values come out below zero.
    return torch.bincount(bits.add_(_NEGATIVE).flatten(), minlength=BINS)


def rows(found: np.ndarray) -> dict[str, np.ndarray]:
    """Columns `sign`, `low`, `high` and `count` of the bins that hold something, by value; |x| is
    at least `low` and below `high`, and zero has a row with both bounds 0."""
    negative, positive = found[:_NEGATIVE], found[_NEGATIVE:]
    zeros = negative[:_FIRST_NORMAL].sum() + positive[:_FIRST_NORMAL].sum()
    normal = slice(_FIRST_NORMAL, _INFINITE)
    counts = np.concatenate([negative[normal][::-1], [zeros], positive[normal]])
    held = np.flatnonzero(counts)
    return {**{name: column[held] for name, column in _bins().items()}, "count": counts[held]}


@cache
def _bins() -> dict[str, np.ndarray]:
    """Sign and bounds of every bin, by value."""
    magnitudes = np.arange(_FIRST_NORMAL, _INFINITE, dtype=np.int64)
    low, high = _bound(magnitudes), _bound(magnitudes + 1)
    return {
        "sign": np.r_[np.full(low.size, -1), 0, np.full(low.size, 1)],
        "low": np.r_[low[::-1], 0.0, low],
        "high": np.r_[high[::-1], 0.0, high],
    }


def quantile(histogram: "pl.DataFrame", share: float) -> float:
    """The magnitude below which `share` of the values lie, from rows of one tensor.

    The exact quantile is the ceil(share * n)-th smallest magnitude, the smallest one for 0; what is
    returned is within RELATIVE_ERROR of it, and exact for zeros. UserError without values.
    """
    return Magnitudes(histogram).quantile(share)


class Magnitudes:
    """The magnitudes of one tensor's values, from rows of its histogram; UserError without any."""

    def __init__(self, histogram: "pl.DataFrame") -> None:
        self.total = int(histogram["count"].sum())
        if not self.total:
            raise UserError("a histogram without values has no quantiles")
        columns = histogram.select("low", "high", "count").group_by("low", "high").sum().sort("low")
        self._running = columns["count"].cum_sum().to_numpy()
        self._low, self._high = columns["low"].to_numpy(), columns["high"].to_numpy()

    def quantile(self, share: float) -> float:
        """The magnitude below which `share` of the values lie; see the function `quantile`."""
        place = int(np.searchsorted(self._running, max(1, at_least(share, self.total))))
        return float((self._low[place] + self._high[place]) / 2)

    def interpolated(self, share: float) -> float:
        """The quantile as if the values of a bin were spread evenly over it: within twice
        RELATIVE_ERROR of the exact quantile, and without jumps where a bin holds many values."""
        wanted = share * self.total
        place = min(int(np.searchsorted(self._running, wanted)), len(self._running) - 1)
        below = self._running[place - 1] if place else 0
        part = (wanted - below) / (self._running[place] - below)
        return float(self._low[place] + part * (self._high[place] - self._low[place]))


def _bound(index: np.ndarray) -> np.ndarray:
    """Lower bound of a magnitude's bin: a float32 with the further bits zero, as float64."""
    bounds: np.ndarray = (index << _SHIFT).astype(np.int32).view(np.float32).astype(np.float64)
    return bounds
