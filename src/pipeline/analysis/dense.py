"""Accuracies of an unpruned model beside chance."""

from typing import Any

import polars as pl

from pipeline.analysis.chance import chance


def dense_rows(model: str, samples: pl.DataFrame, targets: pl.DataFrame) -> list[dict[str, Any]]:
    """Accuracy and chance of the unpruned model per task, and per task and step count, for tasks
    whose answers are right or wrong."""
    rows = []
    answers = samples.filter(pl.col("correct").is_not_null())
    for by in (("task",), ("task", "steps")):
        facts = answers.group_by(by).agg(
            reasoning=pl.col("reasoning").first(), accuracy=pl.col("correct").mean(), n=pl.len()
        )
        levels = chance(targets, answers, by)
        for row in facts.join(levels, on=by).sort(by).iter_rows(named=True):
            rows.append({"model": model, "steps": None} | row)
    return rows
