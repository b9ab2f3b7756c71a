"""Removals of neurons for good, draw by draw: what each took of the model, and what it cost."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.analysis.arms import Arm
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import Material, Rows
from pipeline.tables.curves import REASONING
from pipeline.tables.removals import REMOVALS

_PLANNED = ("activity_removed", "contribution_removed", "shared_with_coldest")


def removals(study: Material) -> Rows:
    """Rows of REMOVALS of all arms that remove neurons for good."""
    rows: Rows = []
    for arm in (arm for arm in study.arms if arm.plans):
        losses = study.losses.get(arm.model)
        members = losses.members(REASONING, arm) if losses else []
        costs = _costs(arm, losses, members) if losses and members else [(None, None)] * arm.seeds
        for plan, cost in zip(arm.plans, costs, strict=True):
            if removes(plan):
                rows.append(condition(arm, plan) | _removal(plan, *cost))
    return rows


def removes(plan: Mapping[str, Any]) -> bool:
    """True for a plan, a body of tables.plan.PLAN, that removes neurons for good."""
    return plan["dropped_by_layer"] is not None and plan["activity_removed"] is not None


def condition(arm: Arm, plan: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that identify the condition of a plan within an arm."""
    return {"model": arm.model, "method": arm.method, "level": arm.level, "seed": plan["seed"]}


def _removal(
    plan: Mapping[str, Any], loss: float | None, corrected: float | None
) -> dict[str, Any]:
    removed = np.array(plan["dropped_by_layer"])
    width = plan["neurons"] // len(removed)
    return {
        "removed": int(removed.sum()),
        "neurons": plan["neurons"],
        "least_of_a_layer": float(removed.min() / width),
        "most_of_a_layer": float(removed.max() / width),
        "loss": loss,
        "corrected_loss": corrected,
        **{name: plan[name] for name in _PLANNED},
    }


def _costs(arm: Arm, losses: Losses, members: Sequence[str]) -> list[tuple[float, float | None]]:
    """(accuracy lost on the tasks, the same corrected for chance) of every seed."""
    dense = float(np.mean([losses.dense.accuracy(task) for task in members]))
    room = losses.room(REASONING, arm)
    costs = []
    for seed in range(arm.seeds):
        loss = dense - float(np.mean([arm.right[task][seed].mean() for task in members]))
        costs.append((loss, None if room is None else loss / room))
    return costs


ANALYSIS = StudyAnalysis(REMOVALS, removals)
