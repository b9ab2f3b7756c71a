"""Chance: the accuracy of giving one and the same answer to every question of a kind."""

import polars as pl


def chance(
    targets: pl.DataFrame, evaluated: pl.DataFrame, by: tuple[str, ...] = ("task",)
) -> pl.DataFrame:
    """Accuracy of the best constant answer per task and step count, as mean over evaluated items.

    `targets` has task, steps and target of all items of the tasks, evaluated or not: on few items
    the best constant answer would look better than it is. `evaluated` has task and steps of the
    items that were evaluated, and weights the step counts. The columns returned are `by` and
    chance. Exact.
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
