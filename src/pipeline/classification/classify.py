"""Classify a profiled model's neurons under one policy."""

from typing import Any

import numpy as np

from pipeline.classification.base import PolicyEvidence
from pipeline.config.classification import Classification
from pipeline.numerics.ranking import heat_ranks
from pipeline.registry import POLICIES


def classify(
    evidence: PolicyEvidence, config: Classification, exact_zeros: bool
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """(columns of tables.classes.CLASSES, body of CLASSIFICATION) for one profile.

    With scope `layer` the policy is applied to each layer alone.
    """
    policy = POLICIES.load(config.policy)()
    neurons = evidence.neurons
    layer, neuron = neurons["layer"].to_numpy(), neurons["neuron"].to_numpy()
    active = neurons["active"].to_numpy()
    score = np.zeros(active.size)
    rank = np.zeros(active.size, dtype=np.int64)
    hot = np.zeros(active.size, dtype=bool)
    groups = [np.arange(active.size)]
    if config.scope == "layer":
        groups = [np.flatnonzero(layer == value) for value in np.unique(layer)]
    for group in groups:
        score[group] = policy.scores(evidence, config, group)
        rank[group] = heat_ranks(score[group], layer[group], neuron[group])
        order = group[np.argsort(rank[group])]
        hot[order[: policy.hot_count(score[order], evidence, config, order)]] = True
    columns = {"layer": layer, "neuron": neuron, "score": score, "rank": rank, "hot": hot}
    return columns, {
        **config.key(),
        "neurons": int(active.size),
        "hot": int(hot.sum()),
        "carried": float(active[hot].sum() / max(1, active.sum())),
        "active_rule": "nonzero" if exact_zeros else "cett",
    }
