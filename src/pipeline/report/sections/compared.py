"""Methods at equal achieved sparsity, side by side."""

from typing import Any

from pipeline.report.compared import MEASURE_NAMES, at_measure, compared
from pipeline.report.curves import WIDTHS, Rows, curve_data, curve_layers, looks_of, models_of
from pipeline.report.results import Results
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, columns_for, finished, header, nothing
from pipeline.tables.curves import REASONING

_NO_MEASURE = "No method was asked for an achieved measure, so there is nothing to compare."


def values(results: Results) -> dict[str, Any]:
    """A table for every measure and level."""
    tables = results.tables
    rows = compared(tables["curves"], tables["perplexity"], results.model_names)
    return {"comparisons": rows}


def compared_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Accuracy lost on the mean of the reasoning tasks against an achieved measure of sparsity, a
    row a measure and a column a model."""
    import altair as alt

    shown = [row for row in at_measure(rows) if row["task"] == REASONING]
    if not shown:
        return nothing(_NO_MEASURE)
    names = models_of(shown, models)
    width = WIDTHS[columns_for(names)]
    charts = []
    for measure, title in MEASURE_NAMES.items():
        of_measure = [row for row in shown if row["measure"] == measure]
        if not of_measure:
            continue
        data = curve_data(of_measure, f"{measure}_total")
        data += [{"part": "zero", "model": name, "loss": 0.0} for name in names]
        layers = curve_layers(
            looks_of(of_measure, methods),
            width=width,
            height=300,
            named=False,
            across=f"{_upper(title)}, %",
        )
        facet = alt.Facet("model:N", title=None, sort=names, header=header(15))
        chart = alt.layer(*layers, data=alt.InlineData(values=data))
        charts.append(chart.facet(facet, columns=columns_for(names)))
    return finished(
        alt.vconcat(*charts).resolve_scale(color="independent", shape="independent"),
        "Points of reasoning accuracy lost against achieved sparsity, by method.",
    )


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def draw(results: Results) -> Spec:
    """The figure of a study."""
    return compared_figure(results.tables["curves"], results.finding["models"], results.methods)


SECTION = Section((Figure("accuracy-lost-by-measure", draw),), values)
