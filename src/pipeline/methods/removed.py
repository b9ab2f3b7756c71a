"""What the neurons that a plan removes for good did in the dense model."""

from dataclasses import replace

import numpy as np
import polars as pl

from pipeline.methods.plan import Plan


def with_activity(plan: Plan, profile: pl.DataFrame) -> Plan:
    """The plan with `activity_removed`, the share of all active (token, neuron) pairs that the
    removed neurons made up, and `contribution_removed`, their share of the sum of |h_i| *
    ||W_down[:, i]||_2 over tokens and neurons. A plan that removes no neurons for good is returned
    unchanged.

    `profile` is tables.neurons.NEURONS of the model on one text. Exact.
    """
    if plan.refused or plan.dropped is None:
        return plan
    rows = profile.sort("layer", "neuron")
    gone = plan.dropped.reshape(-1)
    if rows.height != gone.size:
        raise ValueError(f"a profile of {rows.height} neurons for a plan of {gone.size}")
    return replace(
        plan,
        activity_removed=_share(rows["active"].to_numpy(), gone),
        contribution_removed=_share(rows["sum_contribution"].to_numpy(), gone),
    )


def _share(values: np.ndarray, gone: np.ndarray) -> float:
    total = float(values.sum())
    return float(values[gone].sum()) / total if total else 0.0
