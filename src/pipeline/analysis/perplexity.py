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
    settings = study.settings
    resamples = Resamples(study.seed, settings.bootstrap, settings.confidence)
    return perplexities(study.arms, study.dense, resamples)


def perplexities(
    arms: Sequence[Arm], dense: Mapping[str, Arm], resamples: Resamples
) -> list[dict[str, Any]]:
    """Rows of PERPLEXITY; `dense` by model."""
    return [
        _row(arm, dense[arm.model], task, text, resamples)
        for arm in arms
        for task, text in arm.texts.items()
    ]


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
        tail = (1 - resamples.confidence) / 2
        low, high = (float(end) for end in np.quantile(draws, [tail, 1 - tail]))
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


ANALYSIS = StudyAnalysis(PERPLEXITY, perplexity)
