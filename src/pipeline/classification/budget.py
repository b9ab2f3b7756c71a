"""Budget: a fixed share of the neurons is hot, as a memory limit dictates."""

import numpy as np

from pipeline.classification.base import PolicyEvidence
from pipeline.classification.coverage import Coverage
from pipeline.config.classification import Classification


class Budget(Coverage):
    """Hot is the most active `share` of the neurons."""

    def hot_count(
        self,
        scores: np.ndarray,
        evidence: PolicyEvidence,
        config: Classification,
        order: np.ndarray,
    ) -> int:
        """`share` of the neurons, to the nearest whole number."""
        return round(config.number("share") * scores.size)
