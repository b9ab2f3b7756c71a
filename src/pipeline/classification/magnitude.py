"""Magnitude: the smallest set of neurons that carries a share of the sum of |h|."""

from pipeline.classification.coverage import Coverage


class Magnitude(Coverage):
    """Coverage of `sum_abs`."""

    column = "sum_abs"
