"""Builds the Neurons that static sparsifiers look at from tables."""

import numpy as np
import polars as pl

from pipeline.methods.sparsifiers.static import Neurons


def neurons_of(
    profile: pl.DataFrame, classes: pl.DataFrame, distractor: pl.DataFrame | None = None
) -> Neurons:
    """The neurons of one profile (tables.neurons.NEURONS) with one classification
    (tables.classes.CLASSES) and, if given, the profile on a distractor text.

    Rows pair by layer and neuron, never by position.
    """
    joined = profile.join(classes, on=["layer", "neuron"], how="inner", validate="1:1").sort(
        "layer", "neuron"
    )
    if not joined.height == profile.height == classes.height:
        raise ValueError("profile and classification do not cover the same neurons")
    tokens = np.maximum(joined["tokens"].to_numpy(), 1)
    other = np.full(joined.height, np.nan)
    if distractor is not None:
        mean = pl.col("sum_contribution") / pl.col("tokens").clip(lower_bound=1)
        rows = joined.select("layer", "neuron").join(
            distractor.select("layer", "neuron", mean.alias("mean")),
            on=["layer", "neuron"], how="left", maintain_order="left",
        )  # fmt: skip
        other = rows["mean"].to_numpy()
    return Neurons(
        layer=joined["layer"].to_numpy(),
        neuron=joined["neuron"].to_numpy(),
        frequency=joined["active"].to_numpy() / tokens,
        heat=joined["score"].to_numpy(),
        mean_contribution=joined["sum_contribution"].to_numpy() / tokens,
        weight_norm=joined["weight_norm"].to_numpy(),
        hot=joined["hot"].to_numpy(),
        of_distractor=other,
    )
