"""Merge shards into one profile; the number of shards changes no bit."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.errors import UserError

_COUNTS = ("tokens", "nonfinite", "active_nonzero", "active_cett")
_REALS = ("sum_abs", "sum_square")


def merge_neurons(
    shards: Sequence[pl.DataFrame], blocks: int, norms: pl.DataFrame, exact_zeros: bool
) -> pl.DataFrame:
    """Rows of tables.neurons.NEURONS from those of NEURON_BLOCKS and NORMS.

    Raises UserError unless each of the `blocks` occurs exactly once.
    """
    neurons = _added(shards, blocks, ("layer", "neuron")).join(
        norms, on=("layer", "neuron"), how="left", maintain_order="left"
    )
    return neurons.with_columns(
        sum_contribution=pl.col("sum_abs") * pl.col("down_norm"),
        active=pl.col("active_nonzero" if exact_zeros else "active_cett"),
    )


def merge_channels(shards: Sequence[pl.DataFrame], blocks: int) -> pl.DataFrame:
    """Rows of CHANNELS from those of CHANNEL_BLOCKS; UserError as `merge_neurons`."""
    return _added(shards, blocks, ("layer", "linears", "channel"))


def merge_histograms(shards: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Counts of all shards, added; by layer, tensor and value."""
    key = ("layer", "tensor", "sign", "low", "high")
    by_value = pl.col("sign") * pl.col("low")
    return (
        pl.concat(shards).group_by(key).agg(pl.col("count").sum()).sort("layer", "tensor", by_value)
    )


def layers_of(neurons: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    """Rows of LAYERS from those of NEURONS and THRESHOLDS."""
    pairs = pl.col("tokens").sum()
    facts = neurons.group_by("layer", maintain_order=True).agg(
        tokens=pl.col("tokens").first(),
        natural_sparsity=1 - (pl.col("active").sum() + pl.col("nonfinite").sum()) / pairs,
        zero_share=1 - (pl.col("active_nonzero").sum() + pl.col("nonfinite").sum()) / pairs,
        nonfinite=pl.col("nonfinite").sum(),
    )
    return thresholds.join(facts, on="layer", maintain_order="left")


def _added(shards: Sequence[pl.DataFrame], number: int, key: tuple[str, ...]) -> pl.DataFrame:
    """Sums of all blocks. They are added in block order, one block after the other: float addition
    has an order, and this one does not depend on how blocks were divided."""
    rows = pl.concat(shards).sort("block", maintain_order=True)
    size = rows.height // number
    blocks = [rows.slice(size * block, size) for block in range(number)]
    first = rows.head(size).select(key)
    whole = all(
        part.select(key).equals(first) and (part["block"] == block).all()
        for block, part in enumerate(blocks)
    )
    if not size or rows.height != size * number or not whole or first.is_duplicated().any():
        raise UserError("profile shards do not hold every block once; remove them and run again")
    totals = {
        name: _in_order(rows[name].to_numpy().reshape(number, -1))
        for name in (*_COUNTS, *_REALS)
        if name in rows.columns
    }
    most = rows["max_abs"].to_numpy().reshape(number, -1).max(axis=0)
    return first.with_columns(
        *(pl.Series(name, values) for name, values in totals.items()), pl.Series("max_abs", most)
    )


def _in_order(values: np.ndarray) -> np.ndarray:
    total: np.ndarray = values[0].copy()
    for block in values[1:]:
        total += block
    return total
