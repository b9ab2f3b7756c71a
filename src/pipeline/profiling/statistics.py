"""Streaming statistics of a tensor's channels, exact to merge.

On a CPU runs of 128 tokens are summed in float32, and the runs in float64, so a sum's relative
error is below 1e-5 whatever the batches; counts are exact. There the compiled loops do the work
where they are built, and torch elsewhere.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.numerics import compiled, histograms

if TYPE_CHECKING:
    import torch

#: Tokens summed in float32 on a CPU; 128 terms of one sign err by less than 128 * 2^-24. A GPU sums
#: in float64.
_RUN = 128
#: Number of values of which a CPU's cache holds a few copies.
_CACHED = 1 << 17


def chunk(channels: int) -> int:
    """How many tokens of a tensor to take at once on a CPU: whole runs, few enough to stay in its
    cache."""
    return _RUN * max(1, _CACHED // (_RUN * channels))


class Moments:
    """Counts and sums of |x| over tokens, each (channels,); non-finite values enter no sum.

    `above` are the magnitudes above which `active_cett` counts, (channels,), or None.
    """

    def __init__(self, channels: int, above: "torch.Tensor | None" = None) -> None:
        self.tokens = 0
        self.above = above
        self._start(channels, "cpu")

    def _start(self, channels: int, device: "torch.device | str") -> None:
        import torch

        self._sums = torch.zeros(4, channels, dtype=torch.float64, device=device)
        self._max = torch.zeros(channels, device=device)
        self._nonfinite = torch.zeros(channels, dtype=torch.int64, device=device)
        self._ones = torch.ones(1, _RUN)
        self.above = None if self.above is None else self.above.to(device)

    def mark(self) -> Callable[[], None]:
        """What undoes all that is added from now on."""
        tokens, held = self.tokens, [self._sums, self._max, self._nonfinite]
        held = [values.clone() for values in held]

        def back() -> None:
            self.tokens = tokens
            self._sums, self._max, self._nonfinite = held

        return back

    def add(self, values: "torch.Tensor") -> None:
        """Add some tokens' values, (tokens, channels)."""
        import torch

        if not values.shape[0]:
            return
        if not self.tokens:
            # The sums lie on the values' device, which is known only during the pass.
            self._start(values.shape[1], values.device)
        self.tokens += values.shape[0]
        if values.device.type == "cpu" and compiled.available():
            compiled.add_moments(values, self.above, self._sums, self._max, self._nonfinite)
            return
        magnitude = values.float().abs()
        most = magnitude.amax(0)
        if not bool(most.isfinite().all()):
            # Non-finite values are rare, so the common case does without masks.
            finite = magnitude.isfinite()
            self._nonfinite += (~finite).sum(0)
            magnitude = magnitude.masked_fill(~finite, 0.0)
            most = magnitude.amax(0)
        self._max = torch.maximum(self._max, most)
        if magnitude.device.type != "cpu":
            self._sums[0] += magnitude.sum(0, dtype=torch.float64)
            self._sums[1] += magnitude.square().sum(0, dtype=torch.float64)
            self._sums[2] += (magnitude > 0).sum(0)
            if self.above is not None:
                self._sums[3] += (magnitude > self.above).sum(0)
            return
        work = torch.empty_like(magnitude)
        self._sums[0] += self._sum(magnitude)
        self._sums[1] += self._sum(torch.mul(magnitude, magnitude, out=work))
        self._sums[2] += self._sum(torch.gt(magnitude, 0, out=work))
        if self.above is not None:
            self._sums[3] += self._sum(torch.gt(magnitude, self.above, out=work))

    def _sum(self, values: "torch.Tensor") -> "torch.Tensor":
        """Sum over tokens. A product with ones is the fastest here, and exact for counts."""
        if len(values) <= _RUN:
            return (self._ones[:, : len(values)] @ values)[0]
        runs = len(values) // _RUN
        whole = values[: runs * _RUN].view(runs, _RUN, -1)
        total = (self._ones @ whole).double().sum((0, 1))
        rest = values[runs * _RUN :]
        return total + (self._ones[:, : len(rest)] @ rest)[0] if len(rest) else total

    def columns(self) -> dict[str, np.ndarray]:
        """`tokens`, `nonfinite`, `active_nonzero`, `active_cett`, `sum_abs`, `sum_square`,
        `max_abs`."""
        absolute, square, nonzero, above = self._sums.cpu().numpy()
        return {
            "tokens": np.full(absolute.size, self.tokens),
            "nonfinite": self._nonfinite.cpu().numpy(),
            "active_nonzero": nonzero.astype(np.int64),
            "active_cett": above.astype(np.int64),
            "sum_abs": absolute,
            "sum_square": square,
            "max_abs": self._max.double().cpu().numpy(),
        }


class Histogram:
    """How many of a tensor's values each bin of `histograms` holds."""

    def __init__(self) -> None:
        self._counts: torch.Tensor | None = None

    def mark(self) -> Callable[[], None]:
        """What undoes all that is added from now on."""
        held = None if self._counts is None else self._counts.clone()

        def back() -> None:
            self._counts = held

        return back

    def add(self, values: "torch.Tensor") -> None:
        """Add values of any shape."""
        import torch

        if values.device.type == "cpu" and compiled.available():
            if self._counts is None:
                self._counts = torch.zeros(2, histograms.BINS, dtype=torch.int64)
            compiled.count_bins(values, self._counts)
            return
        found = histograms.counts(values)[None]
        self._counts = found if self._counts is None else self._counts.add_(found)

    def columns(self) -> dict[str, np.ndarray]:
        """`sign`, `low`, `high` and `count` of the bins that hold something."""
        if self._counts is None:
            return histograms.rows(np.zeros(histograms.BINS, dtype=np.int64))
        return histograms.rows(self._counts.sum(0).cpu().numpy())
