"""How the error of a layer's output grows as more of its neurons are left out."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.results import Results, Rows
from pipeline.report.section import Figure, Section
from pipeline.report.style import Spec, columns_for, finished, header, nothing

#: Facets side by side -> the width of each in pixels.
_WIDTHS = {1: 560, 2: 400, 3: 270}
#: More layers than these share a bar of colours, since a legend of dozens is wider than the figure.
_NAMED = 16


def values(results: Results) -> dict[str, Any] | None:
    """The relative error at which each model's thresholds lie, as a mean over layers; None where no
    model was profiled."""
    first = first_corpora(results.profiles.cett_curves)
    rows = [row for row in results.profiles.layers if first.get(row["model"]) == row["corpus"]]
    by_model: dict[str, list[float]] = {}
    for row in rows:
        by_model.setdefault(row["model"], []).append(row["cett"])
    fitted = [{"model": m, "cett": sum(errors) / len(errors)} for m, errors in by_model.items()]
    return {"fitted": fitted} if first else None


def first_corpora(curves: Rows) -> dict[str, str]:
    """The first corpus of every model that has a curve."""
    return {row["model"]: row["corpus"] for row in reversed(curves)}


def cett_figure(curves: Rows, models: Sequence[str]) -> Spec:
    """Relative output error against the share of neurons left out, smallest contributions first: a
    line a layer and a facet a model, on each model's first corpus.

    `curves` are rows of tables.sampled.CETT_CURVE with model and corpus.
    """
    import altair as alt

    if not curves:
        return nothing("No model was profiled, so there is nothing to draw.")
    first = first_corpora(curves)
    data = [
        {
            "model": row["model"],
            "layer": row["layer"],
            "left_out": 100 * row["sparsity"],
            "error": 100 * row["cett"],
        }
        for row in curves
        if row["corpus"] == first[row["model"]]
    ]
    columns = columns_for(models)
    x = alt.X("left_out:Q", title="neurons left out at a token, %", scale=alt.Scale(zero=False))
    y = alt.Y("error:Q", title="error of the FFN's output, %", axis=alt.Axis(grid=True))
    last = max(row["layer"] for row in data)
    lines = alt.Chart(width=_WIDTHS[columns], height=240).mark_line(strokeWidth=1.8)
    facet = alt.Facet("model:N", title=None, sort=list(models), header=header(15))
    encoded = lines.encode(x=x, y=y, color=_by_layer(last), detail="layer:N")
    chart = alt.layer(encoded, data=alt.InlineData(values=data))
    return finished(
        chart.facet(facet, columns=columns).resolve_scale(x="independent"),
        "Relative error of each FFN's output against the share of its neurons left out, smallest "
        "contributions first.",
    )


def _by_layer(last: int) -> Any:
    """Colours of layers: named one by one, or, where they are many, along a bar."""
    import altair as alt

    scale = alt.Scale(scheme="viridis")
    if last < _NAMED:
        legend = alt.Legend(title="layer", columns=_NAMED, symbolLimit=0)
        return alt.Color("layer:O", scale=scale, legend=legend)
    bar = alt.Legend(title="layer", format="d", tickCount=6, gradientLength=300)
    return alt.Color("layer:Q", scale=scale, legend=bar)


def draw(results: Results) -> Spec:
    """The curves of the study's profiles."""
    return cett_figure(results.profiles.cett_curves, results.profiles.models)


SECTION = Section((Figure("error-by-neurons-left-out", draw),), values)
