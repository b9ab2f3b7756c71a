"""How the training of predictors and compensations went."""

from collections.abc import Iterable
from typing import Any

from pipeline.report.results import Results, Row, Rows
from pipeline.report.section import Figure, Section
from pipeline.report.style import PALETTE, Spec, columns_for, finished, header, nothing

#: Facets side by side -> the width of each in pixels.
_WIDTHS = {1: 560, 2: 400, 3: 270}
#: The columns that distinguish the trainings of a study.
_KEYS = ("model", "method", "level", "seed", "label")


def values(results: Results) -> dict[str, Any] | None:
    """A row a training; None where nothing was trained."""
    rows = trainings(results.training)
    return {"trainings": rows} if rows else None


def by_training(curves: Rows) -> list[list[Row]]:
    """The rows of each training, with trainings in the order of their first rows."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in curves:
        groups.setdefault(tuple(row[key] for key in _KEYS), []).append(row)
    return list(groups.values())


def trainings(curves: Rows) -> list[dict[str, Any]]:
    """The loss with which each training began, that of the step that was kept, and where the
    training ended."""
    made = []
    for rows in by_training(curves):
        (kept,) = (row for row in rows if row["best"])
        made.append(
            {
                **{key: rows[0][key] for key in (*_KEYS, "objective")},
                "steps": rows[-1]["step"],
                "start": rows[0]["held_out"],
                "kept_step": kept["step"],
                "kept_items": kept["items"],
                "kept": kept["held_out"],
            }
        )
    return made


def training_figure(curves: Rows) -> Spec:
    """Loss on held-out text against steps, a facet a method, with a dot at the step that was kept.

    `curves` are rows of tables.plan.TRAINING with model, method, level and seed.
    """
    import altair as alt

    data = list(_points(by_training(curves)))
    if not data:
        return nothing("Nothing was trained, so there is nothing to draw.")
    methods = list(dict.fromkeys(row["method"] for row in data))
    models = list(dict.fromkeys(row["model"] for row in data))
    columns = columns_for(methods)
    base = alt.Chart(width=_WIDTHS[columns], height=200)
    x = alt.X("step:Q", title="steps of the optimiser")
    y = alt.Y("loss:Q", title="loss, nats", axis=alt.Axis(grid=True), scale=alt.Scale(zero=False))
    range_ = [PALETTE[n % len(PALETTE)] for n in range(len(models))]
    colour = alt.Color(
        "model:N", scale=alt.Scale(domain=models, range=range_), legend=alt.Legend(title=None)
    )
    curve = base.mark_line(strokeWidth=1.4).encode(x=x, y=y, color=colour, detail="line:N")
    seen = base.transform_filter("datum.kept").mark_point(filled=True, size=45, opacity=1)
    layers = [curve, seen.encode(x=x, y=y, color=colour)]
    facet = alt.Facet("method:N", title=None, sort=methods, header=header(13))
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(facet, columns=columns)
    return finished(
        chart.resolve_scale(x="independent", y="independent"),
        "Loss on held-out text while predictors and compensations were trained, by method.",
    )


def _points(groups: Iterable[list[Row]]) -> Iterable[dict[str, Any]]:
    for number, rows in enumerate(groups):
        for row in rows:
            yield {
                "method": row["method"],
                "model": row["model"],
                "line": str(number),
                "step": row["step"],
                "loss": row["held_out"],
                "kept": row["best"],
            }


def draw(results: Results) -> Spec:
    """The loss curves of the study."""
    return training_figure(results.training)


SECTION = Section((Figure("loss-in-training", draw),), values)
