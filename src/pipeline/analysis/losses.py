"""Accuracy lost by the arms of one model against its dense run, with paired intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.analysis.arms import Arm
from pipeline.analysis.intervals import Changes, interval, share_interval
from pipeline.tables.curves import REASONING


class Losses:
    """Losses of arms of one model against its dense run, with paired intervals.

    `reasoning` maps task names to false for controls; `chance` maps them to chance levels, and
    `clusters` to the cluster of every item, (items,) of whole numbers. The task REASONING stands
    for the mean of the reasoning tasks, each with equal weight, without those that an arm leaves
    untouched.
    """

    def __init__(
        self,
        dense: Arm,
        reasoning: Mapping[str, bool],
        chance: Mapping[str, float],
        clusters: Mapping[str, np.ndarray],
        confidence: float,
    ) -> None:
        self.dense = dense
        self.tasks = {task: [task] for task in dense.right}
        self.controls = {task for task in dense.right if not reasoning[task]}
        pooled = [task for task in dense.right if reasoning[task]]
        if pooled:
            self.tasks[REASONING] = pooled
        self._chance = chance
        self._clusters = clusters
        self._confidence = confidence

    def members(self, task: str, *arms: Arm) -> list[str]:
        """The tasks behind a task when these arms are compared: for REASONING the reasoning tasks
        that all of them touch (there may be none), else the task itself."""
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
            "activity_removed": arm.removed("activity_removed"),
            "contribution_removed": arm.removed("contribution_removed"),
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
            **self._corrected(arm, task, loss),
        }

    def difference(self, first: Arm, second: Arm, task: str) -> tuple[float, float, float]:
        """Accuracy of `first` minus accuracy of `second`, with its paired interval, in shares."""
        if first is second:
            return 0.0, 0.0, 0.0
        members = self.members(task, first, second)
        estimate = self._accuracy(first, members) - self._accuracy(second, members)
        changes = [
            self._changes(member, first.right[member].mean(0) - second.right[member].mean(0))
            for member in members
        ]
        seeds = self._by_seed(first, members) + self._by_seed(second, members)
        low, high = interval(changes, seeds, self._confidence)
        return estimate, max(-1.0, low), min(1.0, high)

    def room(self, task: str, *arms: Arm) -> float | None:
        """Accuracy of the dense model above chance, on the tasks that these arms touch; None where
        it is not clear of chance."""
        stands = self.standing(task, *arms)
        if stands["low"] <= stands["chance"]:
            return None
        return stands["accuracy"] - stands["chance"]

    def standing(self, task: str, *arms: Arm) -> dict[str, float]:
        """Accuracy of the dense model with the `low` and `high` end of its interval, and `chance`,
        on the tasks that these arms touch."""
        members = self.members(task, *arms)
        right = [self._changes(m, self.dense.right[m].mean(0)) for m in members]
        low, high = share_interval(right, [], self._confidence)
        chance = float(np.mean([self._chance[member] for member in members]))
        accuracy = self._accuracy(self.dense, members)
        return {"accuracy": accuracy, "low": low, "high": high, "chance": chance}

    def _corrected(self, arm: Arm, task: str, loss: float) -> dict[str, float | None]:
        """loss / (dense - chance); nulls unless the dense model is clear of chance.

        The dense accuracy varies with the questions too, so the interval is that of what every
        question lost, less ratio * (what it gave the dense model above its mean), divided by
        (dense - chance).
        """
        names = ("corrected_loss", "corrected_low", "corrected_high")
        room = self.room(task, arm)
        if room is None:
            return dict.fromkeys(names)
        members, ratio = self.members(task, arm), loss / room
        changes = []
        for member in members:
            dense = self.dense.right[member].mean(0)
            lost = dense - arm.right[member].mean(0)
            changes.append(self._changes(member, lost - ratio * (dense - dense.mean())))
        low, high = interval(changes, self._by_seed(arm, members), self._confidence)
        low, high = min(ratio, low / room), max(ratio, high / room)
        if arm is self.dense:
            low = high = ratio
        return dict(zip(names, (ratio, low, high), strict=True))

    def _changes(self, task: str, values: np.ndarray) -> Changes:
        return Changes(values, self._clusters[task])

    @staticmethod
    def _by_seed(arm: Arm, members: Sequence[str]) -> list[np.ndarray]:
        """Mean accuracy over the tasks by seed, for a method with several seeds."""
        if arm.seeds == 1:
            return []
        return [np.mean([arm.right[member].mean(axis=1) for member in members], axis=0)]

    def _accuracy(self, arm: Arm, members: Sequence[str]) -> float:
        return float(np.mean([arm.accuracy(member) for member in members]))
