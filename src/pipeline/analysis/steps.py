"""Do questions of more steps fail more often than their steps alone explain?

Null: each step fails alike, so a question of k steps that the dense model gets right stays right
with probability p^k = exp(-rate * k). Fitted is exp(-rate * k^exponent): exponent 1 is the null,
above it long chains fail more than step by step, at 0 the number of steps does not matter. A wrong
chain still meets the right answer by chance c, so what is compared with the data is
c + (1 - c) exp(-rate * k^exponent). Rates are free for every task; the exponent is one for all.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from pipeline.analysis.arms import Arm
from pipeline.analysis.bootstrap import Resamples, stretch
from pipeline.tables.correlations import EXPONENT_RANGE, related

#: Exponents and rates that are tried; an estimate at an end of the range says no more than that.
EXPONENTS = np.linspace(*EXPONENT_RANGE, 121)
_RATES = np.logspace(-4, 1.5, 67)  # at the middle of a task's step counts
#: Fewer questions that flip, or that stay right, tell nothing.
_FEWEST = 10
_CHUNK = 250


def of_items(
    arm: Arm, dense: pl.DataFrame, chance: Mapping[tuple[str, int], float], resamples: Resamples
) -> dict[str, Any] | None:
    """A row of CORRELATIONS for one pruned arm; None where too few questions flip or stay.

    `dense` holds tables.samples.SAMPLES of the dense run, sorted by task and item; `chance` is by
    task and number of steps.
    """
    cells = [
        cell
        for (task,), rows in dense.filter("reasoning").group_by("task", maintain_order=True)
        if (cell := _cells(arm, str(task), rows, chance, resamples))
    ]
    flipped = sum(cell.flipped for cell in cells)
    stayed = sum(cell.stayed for cell in cells)
    if flipped < _FEWEST or stayed < _FEWEST:
        return None
    profile = sum(cell.profile() for cell in cells)
    fitted = EXPONENTS[np.argmax(profile, axis=1)]
    tail = (1 - resamples.confidence) / 2
    low, high = np.quantile(fitted[1:], [tail, 1 - tail])
    return related(
        "item",
        arm.model,
        arm.method,
        "steps",
        sum(cell.items for cell in cells),
        condition=arm.level,
        effect="exponent",
        estimate=float(fitted[0]),
        low=float(low),
        high=float(high),
    )


class _Cells:
    """Weights of questions that stayed right and that flipped, by number of steps, of one task.

    `kept` and `lost` are (1 + resamples, step counts); the first row is the sample itself.
    """

    def __init__(
        self, steps: np.ndarray, chance: np.ndarray, kept: np.ndarray, lost: np.ndarray, items: int
    ) -> None:
        self.steps, self.chance, self.kept, self.lost = steps, chance, kept, lost
        self.items = items
        self.stayed, self.flipped = float(kept[0].sum()), float(lost[0].sum())

    def profile(self) -> np.ndarray:
        """Log-likelihood of every exponent at its best rate, (1 + resamples, exponents)."""
        # At the middle of the step counts, so that one range of rates serves all exponents.
        middle = np.exp(np.log(self.steps).mean())
        power = (self.steps[None, :] / middle) ** EXPONENTS[:, None]
        survive = np.exp(-_RATES[:, None, None] * power)
        right = self.chance + (1 - self.chance) * survive
        right = np.clip(right, 1e-9, 1 - 1e-9).reshape(-1, len(self.steps))
        logs = np.log(right).T, np.log1p(-right).T
        parts = []
        for start in range(0, len(self.kept), _CHUNK):
            rows = slice(start, start + _CHUNK)
            found = self.kept[rows] @ logs[0] + self.lost[rows] @ logs[1]
            parts.append(found.reshape(-1, len(_RATES), len(EXPONENTS)).max(axis=1))
        return np.concatenate(parts)


def _cells(
    arm: Arm,
    task: str,
    dense: pl.DataFrame,
    chance: Mapping[tuple[str, int], float],
    resamples: Resamples,
) -> _Cells | None:
    """None for a task with one step count only, and for one that the arm leaves untouched."""
    steps = dense["steps"].to_numpy()
    counts = np.unique(steps[steps > 0])
    if len(counts) < 2 or task not in arm.right or task in arm.untouched:
        return None
    able = dense["correct"].to_numpy().astype(float)
    right = arm.right[task].astype(float) * able
    seeds, items = right.shape
    weights = np.concatenate([np.ones((1, items)), resamples.items(task, items) * items])
    drawn = np.concatenate([np.full((1, seeds), 1 / seeds), resamples.seeds(arm.method, seeds)])
    kept, lost = [], []
    for count in counts:
        here = steps == count
        by_seed = weights[:, here] @ right[:, here].T
        mean = by_seed.mean(axis=1)
        stayed = mean + stretch(seeds, resamples.confidence) * (
            (by_seed * drawn).sum(axis=1) - mean
        )
        asked = weights[:, here] @ able[here]
        stayed = np.clip(stayed, 0.0, asked)
        kept.append(stayed)
        lost.append(asked - stayed)
    levels = np.array([chance[task, int(count)] for count in counts])
    return _Cells(
        counts.astype(float), levels, np.stack(kept, 1), np.stack(lost, 1), int(able.sum())
    )
