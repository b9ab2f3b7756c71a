"""CETT: coverage of the activations above the CETT threshold (arXiv 2411.02335).

For an activation function with exact zeros these are fewer than the non-zero ones, so the policy
differs from `coverage`; for others the two are the same.
"""

from pipeline.classification.coverage import Coverage


class CETT(Coverage):
    """Coverage of `active_cett`."""

    column = "active_cett"
