"""Streaming statistics of a tensor's channels, exact to merge.

Tokens come in chunks that fit the processor's cache. Within a chunk sums are float32, between
chunks float64, so a sum's relative error is below 1e-5 whatever the batches; counts are exact.
"""

from typing import TYPE_CHECKING

import numpy as np

from pipeline import histograms

if TYPE_CHECKING:
    import torch

#: Tokens summed in float32 on a CPU. 128 terms of one sign err by less than 128 * 2^-24.
_CHUNK = 128


class Moments:
    """Counts and sums of |x| over tokens, each (channels,); non-finite values enter no sum.

    `above` are the magnitudes that `active_cett` counts from, (channels,), or None.
    """

    def __init__(
        self, channels: int, device: "torch.device", above: "torch.Tensor | None" = None
    ) -> None:
        import torch

        self.tokens = 0
        self.above = above
        self._sums = torch.zeros(4, channels, dtype=torch.float64, device=device)
        self._max = torch.zeros(channels, device=device)
        self._nonfinite = torch.zeros(channels, dtype=torch.int64, device=device)

    def add(self, values: "torch.Tensor") -> None:
        """Add some tokens' values, (tokens, channels)."""
        self.tokens += values.shape[0]
        for chunk in values.split(_CHUNK if values.device.type == "cpu" else 1 << 30):
            self._add(chunk)

    def _add(self, values: "torch.Tensor") -> None:
        import torch

        magnitude = values.float().abs()
        most = magnitude.amax(0)
        if not bool(most.isfinite().all()):
            # Rare, so the common case does not pay for masks.
            finite = magnitude.isfinite()
            self._nonfinite += (~finite).sum(0)
            magnitude = magnitude.masked_fill(~finite, 0.0)
            most = magnitude.amax(0)
        self._max = torch.maximum(self._max, most)
        work = torch.empty_like(magnitude)
        self._sums[0] += _sum(magnitude)
        self._sums[1] += _sum(torch.mul(magnitude, magnitude, out=work))
        self._sums[2] += _sum(torch.gt(magnitude, 0, out=work))
        if self.above is not None:
            self._sums[3] += _sum(torch.gt(magnitude, self.above, out=work))

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


def _sum(values: "torch.Tensor") -> "torch.Tensor":
    """Sum over tokens. A product with ones is the fastest on a CPU; counts stay exact in it."""
    import torch

    if values.device.type == "cpu":
        return (values.new_ones(1, values.shape[0]) @ values)[0]
    return values.sum(0, dtype=torch.float64)


class Histogram:
    """How many of a tensor's values each bin of `histograms` holds."""

    def __init__(self) -> None:
        self._counts: torch.Tensor | int = 0

    def add(self, values: "torch.Tensor") -> None:
        """Add values of any shape."""
        self._counts = self._counts + histograms.counts(values)

    def columns(self) -> dict[str, np.ndarray]:
        """`sign`, `low`, `high` and `count` of the bins that hold something."""
        if isinstance(self._counts, int):
            return histograms.rows(np.zeros(1 << 15, dtype=np.int64))
        return histograms.rows(self._counts.cpu().numpy())
