"""How often a right answer stays right, by the number of steps that its question needs.

Beside it stands the share expected if every step failed equally often: p^k for k steps, with one p
for a task and condition, plus what chance gives back. Questions of unlike difficulty bend the curve
as well, so a departure from p^k is a description and no test.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from pipeline.analysis.arms import Arm
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.chance import chance
from pipeline.analysis.intervals import Changes, share_interval
from pipeline.analysis.material import Material, Rows
from pipeline.tables.correlations import STEPS

#: The values of -log p that are tried, p being the probability that a step goes right.
_RATES = np.logspace(-5, 1.5, 400)


def steps(study: Material) -> Rows:
    """Rows of STEPS of the pruned arms."""
    by_steps = {
        model: {
            (task, count): level
            for task, count, level in chance(study.targets, rows, ("task", "steps")).iter_rows()
        }
        for model, rows in study.answers.items()
    }
    return of_steps(study.pruned, study.answers, by_steps, study.settings.confidence)


def of_steps(
    arms: Sequence[Arm],
    dense: Mapping[str, pl.DataFrame],
    chance: Mapping[str, Mapping[tuple[str, int], float]],
    confidence: float,
) -> Rows:
    """Rows of tables.correlations.STEPS of the pruned arms.

    `dense` holds, by model, tables.samples.SAMPLES of the dense run, sorted by task and item;
    `chance` is by model, and by task and number of steps.
    """
    rows: Rows = []
    for arm in arms:
        for (task,), asked in dense[arm.model].group_by("task", maintain_order=True):
            touched = str(task) in arm.right and str(task) not in arm.untouched
            if asked["reasoning"][0] and touched:
                rows += _of_task(arm, str(task), asked, chance[arm.model], confidence)
    return rows


def _of_task(
    arm: Arm,
    task: str,
    asked: pl.DataFrame,
    chance: Mapping[tuple[str, int], float],
    confidence: float,
) -> Rows:
    """None for a task with one number of steps."""
    steps = asked["steps"].to_numpy()
    able = asked["correct"].to_numpy().astype(bool)
    counts = [int(k) for k in np.unique(steps[(steps > 0) & able])]
    if len(counts) < 2:
        return []
    right = arm.right[task].astype(float)
    asked_here = [able & (steps == k) for k in counts]
    cells = [right[:, here] for here in asked_here]
    levels = np.array([chance[task, k] for k in counts])
    stayed = np.array([cell.mean() for cell in cells])
    sizes = np.array([cell.shape[1] for cell in cells])
    expected = equal_steps(np.array(counts), stayed, sizes, levels)
    rows = []
    for place, (k, here, cell) in enumerate(zip(counts, asked_here, cells, strict=True)):
        clusters = np.unique(asked["cluster"].to_numpy()[here], return_inverse=True)[1]
        seeds = [cell.mean(axis=1)] if len(cell) > 1 else []
        low, high = share_interval([Changes(cell.mean(axis=0), clusters)], seeds, confidence)
        rows.append(
            {
                "model": arm.model, "method": arm.method, "level": arm.level, "task": task,
                "steps": k, "questions": int(sizes[place]), "stayed": float(stayed[place]),
                "low": low, "high": high, "expected": float(expected[place]),
            }
        )  # fmt: skip
    return rows


def equal_steps(
    steps: np.ndarray, stayed: np.ndarray, sizes: np.ndarray, chance: np.ndarray
) -> np.ndarray:
    """Expected shares, (step counts,), under the single p that makes the shares that stayed right
    likeliest; all arguments are (step counts,)."""
    survive = np.exp(-_RATES[:, None] * steps[None, :])
    right = np.clip(chance + (1 - chance) * survive, 1e-9, 1 - 1e-9)
    kept, lost = stayed * sizes, (1 - stayed) * sizes
    likelihood = (kept * np.log(right) + lost * np.log1p(-right)).sum(axis=1)
    likeliest: np.ndarray = right[int(np.argmax(likelihood))]
    return likeliest


ANALYSIS = StudyAnalysis(STEPS, steps)
