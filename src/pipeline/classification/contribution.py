"""Contribution: the smallest set of neurons that writes a share of all that is written.

What neuron i adds to the residual stream at a token has the length |h_i| * ||W_down[:, i]||.
"""

from pipeline.classification.coverage import Coverage


class Contribution(Coverage):
    """Coverage of `sum_contribution`."""

    column = "sum_contribution"
