"""Accuracy lost task by task."""

from pipeline.report.curves import (
    NO_CONDITION,
    NO_CURVE,
    Rows,
    curve_data,
    curve_layers,
    facet_data,
    looks_of,
    models_of,
    on_curves,
    one_a_task,
    pruned,
    task_label,
)
from pipeline.report.results import Results
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, finished, header, nothing
from pipeline.tables.curves import REASONING


def task_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Accuracy lost on each task, a row a task and a column a model; controls are named so."""
    import altair as alt

    shown = [row for row in on_curves(rows) if row["task"] != REASONING]
    if not shown:
        return nothing(NO_CURVE if pruned(rows) else NO_CONDITION)
    names = models_of(shown, models)
    labels = [task_label(row) for row in one_a_task(shown)]
    data = curve_data(shown)
    for label in labels:
        data += facet_data(models, names, label)
    layers = curve_layers(
        looks_of(shown, methods),
        width=330 if len(names) > 1 else 560,
        height=140,
        named=False,
    )
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(
        row=alt.Row(
            "task:N",
            title=None,
            sort=labels,
            header=header(13, labelAngle=0, labelAlign="left", labelOrient="left"),
        ),
        column=alt.Column("model:N", title=None, sort=names, header=header(15)),
    )
    return finished(
        chart,
        "Points of accuracy lost on each task against the share of FFN neurons removed, by method.",
    )


def draw(results: Results) -> Spec:
    """The figure of a study."""
    return task_figure(results.tables["curves"], results.finding["models"], results.methods)


SECTION = Section((Figure("accuracy-lost-by-task", draw),))
