"""Chance: what a model gets right that answers every question of one kind alike."""

import polars as pl


def chance(
    targets: pl.DataFrame, evaluated: pl.DataFrame, by: tuple[str, ...] = ("task",)
) -> pl.DataFrame:
    """Accuracy of the best constant answer per task and step count, as mean over evaluated items.

    `targets` has task, steps and target of all items of the tasks, evaluated or not: the best
    answer to few items would look better than it is. `evaluated` has task and steps of those that
    were, and weights the step counts. The columns given back are `by` and chance. Exact.
    """
    best = (
        targets.group_by("task", "steps", "target")
        .len()
        .group_by("task", "steps")
        .agg(best=pl.col("len").max() / pl.col("len").sum())
        .cast({"steps": evaluated["steps"].dtype})
    )
    return (
        evaluated.join(best, on=["task", "steps"], how="left")
        .group_by(by)
        .agg(chance=pl.col("best").mean())
        .sort(*by)
    )
