"""Merge shards into one profile; the number of shards changes no bit."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.errors import UserError

_COUNTS = ("tokens", "nonfinite", "active_nonzero", "active_cett")
_REALS = ("sum_abs", "sum_square", "sum_contribution")


def merge(
    shards: Sequence[pl.DataFrame],
    layer_shards: Sequence[pl.DataFrame],
    exact_zeros: bool,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows of tables.neurons.NEURONS, rows of LAYERS).

    Block sums are added in block order, one block after the other: float addition has an order,
    and this one does not depend on how blocks were divided. Raises UserError when shards disagree
    on CETT thresholds or when a block is missing or doubled.
    """
    for other in layer_shards[1:]:
        if not other.equals(layer_shards[0]):
            raise UserError(
                "profile shards fitted different CETT thresholds, so they ran on different "
                "machines or models; remove the shards and run again"
            )
    rows = pl.concat(shards).sort("block", "layer", "neuron")
    blocks = rows["block"].unique().sort().to_list()
    size = rows.select("layer", "neuron").unique().height
    doubled = rows.select("block", "layer", "neuron").is_duplicated().any()
    if blocks != list(range(len(blocks))) or rows.height != size * len(blocks) or doubled:
        raise UserError("profile shards do not hold every block once; remove them and run again")
    merged = {name: _added(rows, name, len(blocks)) for name in (*_COUNTS, *_REALS)}
    merged["max_abs"] = rows["max_abs"].to_numpy().reshape(len(blocks), -1).max(axis=0)
    first = rows.head(size)
    neurons = pl.DataFrame(
        {
            "layer": first["layer"],
            "neuron": first["neuron"],
            **merged,
            "active": merged["active_nonzero" if exact_zeros else "active_cett"],
            "weight_norm": first["weight_norm"],
            "down_norm": first["down_norm"],
        }
    )
    return neurons, _layers(neurons, layer_shards[0])


def _added(rows: pl.DataFrame, name: str, blocks: int) -> np.ndarray:
    values = rows[name].to_numpy().reshape(blocks, -1)
    total = values[0].copy()
    for block in values[1:]:
        total += block
    return total


def _layers(neurons: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    pairs = pl.col("tokens").sum()
    facts = neurons.group_by("layer", maintain_order=True).agg(
        tokens=pl.col("tokens").first(),
        natural_sparsity=1 - (pl.col("active").sum() + pl.col("nonfinite").sum()) / pairs,
        zero_share=1 - (pl.col("active_nonzero").sum() + pl.col("nonfinite").sum()) / pairs,
        nonfinite=pl.col("nonfinite").sum(),
    )
    return thresholds.join(facts, on="layer", maintain_order="left")
