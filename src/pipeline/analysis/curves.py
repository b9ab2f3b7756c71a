"""Accuracy lost against achieved sparsity: rows of tables.curves.CURVES, and paired contrasts."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.analysis.arms import Arm
from pipeline.analysis.bootstrap import Resamples, interval
from pipeline.tables.curves import REASONING


class Losses:
    """Losses of arms of one model against its dense run, with intervals from shared resamples.

    `reasoning` maps task names to false for controls; `chance` maps them to chance levels. The task
    REASONING stands for the mean of the reasoning tasks, each with equal weight, without those that
    an arm leaves untouched.
    """

    def __init__(
        self,
        dense: Arm,
        reasoning: Mapping[str, bool],
        chance: Mapping[str, float],
        resamples: Resamples,
        confidence: float,
    ) -> None:
        self.dense = dense
        self.tasks = {task: [task] for task in dense.right}
        self.controls = {task for task in dense.right if not reasoning[task]}
        pooled = [task for task in dense.right if reasoning[task]]
        if pooled:
            self.tasks[REASONING] = pooled
        self._chance = chance
        self._resamples = resamples
        self._confidence = confidence

    def members(self, task: str, *arms: Arm) -> list[str]:
        """The tasks that a task stands for where these arms are compared: of a mean those that all
        of them touch, maybe none."""
        if task != REASONING:
            return self.tasks[task]
        untouched = frozenset().union(*(arm.untouched for arm in arms))
        return [member for member in self.tasks.get(task, []) if member not in untouched]

    def row(self, arm: Arm, task: str) -> dict[str, Any]:
        """A row of CURVES."""
        members = self.members(task, arm)
        left_out = [member for member in self.tasks[task] if member not in members]
        out_of_form = [arm.out_of_form[member] for member in members if member in arm.out_of_form]
        accuracy, base = self._accuracy(arm, members), self._accuracy(self.dense, members)
        chance = float(np.mean([self._chance[member] for member in members]))
        low, high = self.difference(self.dense, arm, task)[1:]
        loss = base - accuracy
        return {
            "model": arm.model,
            "method": arm.method,
            "level": arm.level,
            "measure": arm.measure,
            "task": task,
            "reasoning": task not in self.controls,
            "seeds": arm.seeds,
            **arm.achieved(members),
            "left_out": ", ".join(left_out) or None,
            "n": sum(self.dense.right[member].shape[1] for member in members),
            "nonfinite": sum(arm.nonfinite.get(member, 0) for member in members),
            "out_of_form": float(np.mean(out_of_form)) if out_of_form else None,
            "accuracy": accuracy,
            "accuracy_dense": base,
            "chance": chance,
            "loss": loss,
            "loss_low": low,
            "loss_high": high,
            **self._corrected(arm, task, loss, chance),
        }

    def difference(self, first: Arm, second: Arm, task: str) -> tuple[float, float, float]:
        """Accuracy of `first` minus accuracy of `second`, with its paired interval, in shares."""
        if first is second:
            return 0.0, 0.0, 0.0
        members = self.members(task, first, second)
        estimate = self._accuracy(first, members) - self._accuracy(second, members)
        draws = self._draws(first, members) - self._draws(second, members)
        low, high = interval(estimate, draws, self._items(members), self._confidence)
        # Stretched seeds can carry a difference of accuracies out of its range.
        return estimate, max(-1.0, low), min(1.0, high)

    def draws(self, arm: Arm, task: str) -> np.ndarray:
        """Accuracy lost in every resample, (resamples,)."""
        members = self.members(task, arm)
        return self._draws(self.dense, members) - self._draws(arm, members)

    def _corrected(
        self, arm: Arm, task: str, loss: float, chance: float
    ) -> dict[str, float | None]:
        """loss / (dense - chance); nulls unless the dense model is clear of chance."""
        names = ("corrected_loss", "corrected_low", "corrected_high")
        members = self.members(task, arm)
        room = self._accuracy(self.dense, members) - chance
        rooms = self._draws(self.dense, members) - chance
        if interval(room, rooms, self._items(members), self._confidence)[0] <= 0:
            return dict.fromkeys(names)
        kept = rooms > 0
        draws = (rooms + chance - self._draws(arm, members))[kept] / rooms[kept]
        if np.ptp(draws) < 1e-12:
            low, high = (end / room for end in self.difference(self.dense, arm, task)[1:])
        else:
            low, high = interval(loss / room, draws, self._items(members), self._confidence)
        return dict(zip(names, (loss / room, low, high), strict=True))

    def _items(self, members: Sequence[str]) -> int:
        """Items behind a mean over tasks of equal weight, by the smallest of them."""
        return len(members) * min(self.dense.right[member].shape[1] for member in members)

    def _accuracy(self, arm: Arm, members: Sequence[str]) -> float:
        return float(np.mean([arm.accuracy(member) for member in members]))

    def _draws(self, arm: Arm, members: Sequence[str]) -> np.ndarray:
        """(resamples,) of the mean accuracy over the member tasks."""
        return np.mean([self._resamples.mean(m, arm.method, arm.right[m]) for m in members], axis=0)


def curves(arms: Sequence[Arm], losses: Mapping[str, Losses]) -> list[dict[str, Any]]:
    """Rows of CURVES for every arm and task; `losses` by model. An arm that touches no reasoning
    task has no mean of them."""
    return [
        losses[arm.model].row(arm, task)
        for arm in arms
        for task in losses[arm.model].tasks
        if losses[arm.model].members(task, arm)
    ]
