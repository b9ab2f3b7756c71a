"""CETT: coverage of the activations above the CETT threshold (arXiv 2411.02335).

With exact zeros in the activation these are fewer than the non-zero ones; without, the same.
"""

from pipeline.classification.coverage import Coverage


class CETT(Coverage):
    """Coverage of `active_cett`."""

    column = "active_cett"
