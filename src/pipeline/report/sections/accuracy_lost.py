"""Accuracy lost on the mean of the reasoning tasks, the page's main figure."""

from typing import Any

from pipeline.report.curves import (
    NO_CONDITION,
    NO_CURVE,
    WIDTHS,
    Rows,
    curve_data,
    curve_layers,
    draw_data,
    facet_data,
    looks_of,
    models_of,
    on_curves,
    pruned,
)
from pipeline.report.results import Results
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, columns_for, finished, header, nothing
from pipeline.tables.curves import REASONING


def main_figure(rows: Rows, removals: Rows, models: Rows, methods: Rows) -> Spec:
    """Accuracy lost on the mean of the reasoning tasks, one facet a model.

    A dashed rule marks where the cold set ends; every draw of a method with several is a dot.
    `removals` are rows of tables.removals.REMOVALS, `methods` those of Study.methods. Without any
    condition the figure is a sentence.
    """
    import altair as alt

    shown = [row for row in on_curves(rows) if row["task"] == REASONING]
    if not shown:
        return nothing(NO_CURVE if pruned(rows) else NO_CONDITION)
    names = models_of(shown, models)
    data = curve_data(shown) + draw_data(shown, removals) + facet_data(models, names, REASONING)
    columns = columns_for(names)
    layers = curve_layers(looks_of(shown, methods), width=WIDTHS[columns], height=300, named=True)
    facet = alt.Facet("model:N", title=None, sort=names, header=header(15, labelPadding=22))
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(facet, columns=columns)
    return finished(
        chart,
        "Points of reasoning accuracy lost against the share of FFN neurons removed, by method.",
    )


def values(results: Results) -> dict[str, Any]:
    """The models whose points tell little, where texts tell more."""
    texts = {row["model"] for row in results.tables["perplexity"]}
    return {"at_chance": [model for model in results.at_chance if model in texts]}


def draw(results: Results) -> Spec:
    """The figure of a study."""
    tables, models = results.tables, results.finding["models"]
    return main_figure(tables["curves"], tables["removals"], models, results.methods)


SECTION = Section((Figure("accuracy-lost", draw, as_svg=True),), values)
