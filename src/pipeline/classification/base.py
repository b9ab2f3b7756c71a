"""The shape of a hot/cold policy."""

from typing import Protocol

import numpy as np


class Policy(Protocol):
    """Decides how many of the most active neurons are hot."""

    def hot_count(self, counts: np.ndarray, share: float) -> int:
        """Size of the hot set; `counts` are activation counts, sorted from hot to cold."""
        ...
