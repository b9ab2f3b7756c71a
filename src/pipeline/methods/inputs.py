"""Tables read into what sparsifiers look at."""

import numpy as np
import polars as pl

from pipeline.methods.static import Neurons


def neurons_of(profile: pl.DataFrame, classes: pl.DataFrame) -> Neurons:
    """One profile (tables.neurons.NEURONS) with one classification (tables.classes.CLASSES).

    Rows pair by layer and neuron, never by position.
    """
    joined = profile.join(classes, on=["layer", "neuron"], how="inner", validate="1:1").sort(
        "layer", "neuron"
    )
    if not joined.height == profile.height == classes.height:
        raise ValueError("profile and classification do not cover the same neurons")
    tokens = np.maximum(joined["tokens"].to_numpy(), 1)
    return Neurons(
        layer=joined["layer"].to_numpy(),
        neuron=joined["neuron"].to_numpy(),
        frequency=joined["active"].to_numpy() / tokens,
        heat=joined["score"].to_numpy(),
        mean_contribution=joined["sum_contribution"].to_numpy() / tokens,
        weight_norm=joined["weight_norm"].to_numpy(),
        hot=joined["hot"].to_numpy(),
    )
