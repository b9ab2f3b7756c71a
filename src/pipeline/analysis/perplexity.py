"""Log perplexity lost on texts: rows of tables.curves.PERPLEXITY."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.analysis.arms import Arm, Text
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.material import Material
from pipeline.tables.curves import PERPLEXITY


def perplexity(study: Material) -> list[dict[str, Any]]:
    """A row for every arm and task that scores texts.

    Paired by text: one resample draws the same texts for the pruned and for the dense model.
    """
    return perplexities(study.arms, study.dense, study.resamples)


def perplexities(
    arms: Sequence[Arm], dense: Mapping[str, Arm], resamples: Resamples
) -> list[dict[str, Any]]:
    """Rows of PERPLEXITY; `dense` by model."""
    return [
        _row(arm, dense[arm.model], task, text, resamples)
        for arm in arms
        for task, text in arm.texts.items()
    ]


def difference(
    first: Arm, second: Arm, task: str, resamples: Resamples
) -> tuple[float, float, float] | None:
    """Nats a token under `first` minus nats a token under `second` on the same texts, with its
    interval, paired by text; None where there is none, since a score is not finite or there is a
    single text."""
    one, other = first.texts[task], second.texts[task]
    lost = first.nonfinite.get(task, 0) or second.nonfinite.get(task, 0)
    if lost or len(one.tokens) == 1:
        return None
    draws = _draws(first, task, one, resamples) - _draws(second, task, other, resamples)
    low, high = _ends(draws, resamples.confidence)
    return one.log_perplexity - other.log_perplexity, low, high


def _row(arm: Arm, dense: Arm, task: str, text: Text, resamples: Resamples) -> dict[str, Any]:
    base = dense.texts[task]
    lost = arm.nonfinite.get(task, 0)
    nats = None if lost else text.log_perplexity
    loss = None if nats is None else nats - base.log_perplexity
    low: float | None = 0.0
    high: float | None = 0.0
    if loss is None or (arm is not dense and len(text.tokens) == 1):
        low = high = None
    elif arm is not dense:
        draws = _draws(arm, task, text, resamples) - _draws(dense, task, base, resamples)
        low, high = _ends(draws, resamples.confidence)
    return {
        "model": arm.model,
        "method": arm.method,
        "level": arm.level,
        "measure": arm.measure,
        "task": task,
        "reasoning": text.reasoning,
        "seeds": arm.seeds,
        **arm.achieved([task]),
        "activity_removed": arm.removed("activity_removed"),
        "contribution_removed": arm.removed("contribution_removed"),
        "n": len(text.tokens),
        "tokens": int(text.tokens.sum()),
        "nonfinite": lost,
        "log_perplexity": nats,
        "log_perplexity_dense": base.log_perplexity,
        "loss": loss,
        "loss_low": low,
        "loss_high": high,
    }


def _draws(arm: Arm, task: str, text: Text, resamples: Resamples) -> np.ndarray:
    return resamples.mean(task, arm.method, text.nats, text.tokens)


def _ends(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


ANALYSIS = StudyAnalysis(PERPLEXITY, perplexity)
