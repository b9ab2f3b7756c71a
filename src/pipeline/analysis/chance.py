"""Chance: what a model gets right that answers every question of one kind alike."""

import polars as pl


def chance(targets: pl.DataFrame, by: tuple[str, ...] = ("task",)) -> pl.DataFrame:
    """Accuracy of the best constant answer per task and step count, summed up `by` these columns.

    `targets` has task, steps and target of all items of the tasks, evaluated or not: the best
    answer to few items would look better than it is. The columns given back are `by` and chance.
    Exact.
    """
    best = (
        targets.group_by("task", "steps", "target")
        .len()
        .group_by("task", "steps")
        .agg(best=pl.col("len").max(), n=pl.col("len").sum())
    )
    return (
        best.group_by(by)
        .agg(n=pl.col("n").sum(), best=pl.col("best").sum())
        .select(*by, chance=pl.col("best") / pl.col("n"))
        .sort(*by)
    )
