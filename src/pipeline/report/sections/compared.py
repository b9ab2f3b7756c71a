"""Methods at what they achieved, and side by side at equal achieved sparsity."""

from typing import Any

from pipeline.report.compared import MEASURE_NAMES, compared, panels
from pipeline.report.curves import WIDTHS, Rows, curve_data, curve_layers, looks_of, models_of
from pipeline.report.results import Results, Row
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, columns_for, finished, header, nothing
from pipeline.tables.curves import REASONING

NO_MEASURE = (
    "No method was asked for an achieved measure or has levels of its own, so there is nothing to "
    "compare."
)


def values(results: Results) -> dict[str, Any]:
    """A table for every measure and level."""
    tables = results.tables
    rows = compared(tables["curves"], tables["perplexity"], results.model_names)
    return {"comparisons": rows, "drawn": bool(_shown(tables["curves"]))}


def compared_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Accuracy lost on the mean of the reasoning tasks against an achieved measure of sparsity, a
    row a measure and a column a model."""
    import altair as alt

    shown = _shown(rows)
    if not shown:
        return nothing(NO_MEASURE)
    names = models_of([row for of_measure in shown.values() for row in of_measure], models)
    width = WIDTHS[columns_for(names)]
    charts = []
    for measure, of_measure in shown.items():
        data = curve_data(of_measure, f"{measure}_total")
        data += [{"part": "zero", "model": name, "loss": 0.0} for name in names]
        layers = curve_layers(
            looks_of(of_measure, methods),
            width=width,
            height=300,
            named=False,
            across=across(measure),
        )
        facet = alt.Facet("model:N", title=None, sort=names, header=header(15))
        chart = alt.layer(*layers, data=alt.InlineData(values=data))
        charts.append(chart.facet(facet, columns=columns_for(names)))
    return finished(
        alt.vconcat(*charts).resolve_scale(color="independent", shape="independent"),
        "Points of reasoning accuracy lost against achieved sparsity, by method.",
    )


def across(measure: str) -> str:
    """Title of the axis of an achieved measure."""
    title = MEASURE_NAMES[measure]
    return f"{title[:1].upper()}{title[1:]}, %"


def _shown(rows: Rows) -> dict[str, list[Row]]:
    return panels([row for row in rows if row["task"] == REASONING])


def draw(results: Results) -> Spec:
    """The figure of a study."""
    return compared_figure(results.tables["curves"], results.finding["models"], results.methods)


SECTION = Section((Figure("accuracy-lost-by-measure", draw),), values)
