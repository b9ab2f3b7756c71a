"""Classify a profiled model's neurons under one policy."""

from typing import Any

import numpy as np
import polars as pl

from pipeline.config.classification import Classification
from pipeline.ranking import heat_ranks
from pipeline.registry import POLICIES


def classify(
    neurons: pl.DataFrame, config: Classification, exact_zeros: bool
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(columns of tables.classes.CLASSES, body of CLASSIFICATION) for one profile.

    Scores are activation frequencies. With scope `layer` the policy is applied to each layer alone.
    """
    policy = POLICIES.load(config.policy)()
    layer, neuron = neurons["layer"].to_numpy(), neurons["neuron"].to_numpy()
    active, tokens = neurons["active"].to_numpy(), neurons["tokens"].to_numpy()
    rank = np.zeros(active.size, dtype=np.int64)
    hot = np.zeros(active.size, dtype=bool)
    groups = [np.arange(active.size)]
    if config.scope == "layer":
        groups = [np.flatnonzero(layer == value) for value in np.unique(layer)]
    for group in groups:
        rank[group] = heat_ranks(active[group], layer[group], neuron[group])
        order = group[np.argsort(rank[group])]
        hot[order[: policy.hot_count(active[order], config.share)]] = True
    columns = {
        "layer": layer,
        "neuron": neuron,
        "score": active / np.maximum(tokens, 1),
        "rank": rank,
        "hot": hot,
    }
    return columns, {
        "policy": config.policy,
        "share": config.share,
        "scope": config.scope,
        "neurons": int(active.size),
        "hot": int(hot.sum()),
        "carried": float(active[hot].sum() / max(1, active.sum())),
        "active_rule": "nonzero" if exact_zeros else "cett",
    }
