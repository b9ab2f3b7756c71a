"""What profiles say: sparsity by layer, spread over neurons, shared hot sets."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.published import SPREADS, TOP_FIFTH_SHARED
from pipeline.report.results import Results, Rows
from pipeline.report.section import Figure, Section
from pipeline.report.style import (
    COLOURS,
    QUIET,
    SHAPES,
    Spec,
    columns_for,
    finished,
    header,
    layer_axis,
    nothing,
)

#: Facets side by side -> the width of each in pixels.
_WIDTHS = {1: 560, 2: 400, 3: 270}
_BASES = {"coverage80": "neurons that carry 80 %", "top20": "the top fifth"}


def values(results: Results) -> dict[str, Any]:
    """How few neurons carry most activations, beside what has been published."""
    return {
        "spreads": results.profiles.spreads(),
        "published": SPREADS,
        "top_fifth_shared": TOP_FIFTH_SHARED,
        "two_corpora": any(row["share"] is not None for row in results.profiles.overlaps),
    }


def sparsity_figure(layers: Rows, models: Sequence[str]) -> Spec:
    """Natural sparsity of every layer, a line a corpus and a facet a model."""
    import altair as alt

    data = [
        {key: row[key] for key in ("model", "corpus", "layer")}
        | {"sparsity": 100 * row["natural_sparsity"]}
        for row in layers
    ]
    base = alt.Chart(width=_width(models), height=200)
    x = alt.X("layer:O", title="layer, 0 the first", axis=layer_axis())
    y = alt.Y("sparsity:Q", title="neurons inactive at a token, %", scale=alt.Scale(zero=False))
    colour = _by_corpus(data)
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour)
    points = base.mark_point(filled=True, size=50, opacity=1).encode(x=x, y=y, color=colour)
    return _facets(
        [lines, points], data, models,
        "Share of FFN neurons inactive at a token, by layer and calibration corpus.",
    )  # fmt: skip


def lorenz_figure(ranked: Rows, models: Sequence[str]) -> Spec:
    """Share of activations against share of neurons, hottest first: models thick, layers thin."""
    import altair as alt

    data = [
        {
            "model": row["model"],
            "corpus": row["corpus"],
            "line": f"{row['corpus']}/{row['layer']}",
            "whole": row["layer"] is None,
            "neurons": 100 * row["share_of_neurons"],
            "activations": 100 * row["share_of_activations"],
        }
        for row in ranked
    ]
    base = alt.Chart(width=_width(models), height=260)
    x = alt.X("neurons:Q", title="neurons, hottest first, %")
    y = alt.Y("activations:Q", title="activations they carry, %", axis=alt.Axis(grid=True))
    colour = _by_corpus(data)
    layers = base.transform_filter("!datum.whole").mark_line(strokeWidth=0.8, opacity=0.45)
    whole = base.transform_filter("datum.whole").mark_line(strokeWidth=2.6)
    drawn = [lines.encode(x=x, y=y, color=colour, detail="line:N") for lines in (layers, whole)]
    rule = alt.Chart(alt.InlineData(values=[{"activations": 80}]), width=_width(models), height=260)
    drawn.append(rule.mark_rule(color=QUIET, strokeDash=[4, 4]).encode(y="activations:Q"))
    return _facets(
        drawn, data, models,
        "Share of all activations that the hottest neurons carry: whole models thick, single "
        "layers thin, 80 % dashed.",
    )  # fmt: skip


def frequency_figure(ranked: Rows, models: Sequence[str]) -> Spec:
    """Activation frequency by layer and rank within it, on each model's first corpus."""
    import altair as alt

    first = {row["model"]: row["corpus"] for row in reversed(ranked)}
    data = [
        {
            "model": row["model"],
            "layer": row["layer"],
            "rank": round(100 * row["share_of_neurons"]),
            "frequency": 100 * row["frequency"],
        }
        for row in ranked
        if row["layer"] is not None
        and row["corpus"] == first[row["model"]]
        and round(100 * row["share_of_neurons"]) % 2 == 0
    ]
    layers = 1 + max((row["layer"] for row in data), default=0)
    base = alt.Chart(width=_width(models), height=max(120, min(26 * layers, 420)))
    scale = alt.Scale(scheme="viridis", domain=[0, 100], type="sqrt")
    cells = base.mark_rect().encode(
        x=alt.X(
            "rank:O", title="neurons of the layer, hottest first, %",
            axis=alt.Axis(values=[0, 20, 40, 60, 80, 100], labelAngle=0),
        ),
        y=alt.Y("layer:O", title="layer", axis=layer_axis()),
        color=alt.Color("frequency:Q", title="active at, % of tokens", scale=scale),
        # Cells without a seam between them.
        stroke=alt.Stroke("frequency:Q", title="active at, % of tokens", scale=scale),
    )  # fmt: skip
    return _facets(
        [cells], data, models,
        "Activation frequency of every layer's neurons, from the hottest to the coldest.",
    )  # fmt: skip


def overlap_figure(overlaps: Rows, models: Sequence[str]) -> Spec:
    """Share of the hot set that two corpora have in common, by layer; a tick is chance."""
    import altair as alt

    data = [
        {
            "model": row["model"],
            "pair": f"{row['corpus']}, {row['other']}",
            "basis": _BASES[row["basis"]],
            "layer": "all" if row["layer"] is None else str(row["layer"]),
            "order": -1 if row["layer"] is None else row["layer"],
            "share": 100 * row["share"],
            "chance": 100 * row["by_chance"],
        }
        for row in overlaps
        if row["share"] is not None
    ]
    if not data:
        return nothing("No model was profiled on two corpora, so there is nothing to compare.")
    base = alt.Chart(width=_width(models), height=200)
    x = alt.X("layer:N", title="layer", sort=_layers(data), axis=layer_axis())
    y = alt.Y("share:Q", title="of the smaller hot set, %", scale=alt.Scale(domain=[0, 100]))
    legend = alt.Legend(title=None)
    colour = alt.Color("basis:N", scale=_scale(list(_BASES.values())), legend=legend)
    pairs = list(dict.fromkeys(row["pair"] for row in data))
    shapes = alt.Scale(domain=pairs, range=[SHAPES[n % len(SHAPES)] for n in range(len(pairs))])
    shape = alt.Shape("pair:N", scale=shapes, legend=legend)
    points = base.mark_point(filled=True, size=70, opacity=1)
    ticks = base.mark_tick(thickness=1.4, opacity=0.8)
    return _facets(
        [ticks.encode(x=x, y="chance:Q", color=colour),
         points.encode(x=x, y=y, color=colour, shape=shape)],
        data, models,
        "Share of the hot set that two corpora have in common, by layer; ticks are chance.",
    )  # fmt: skip


def _layers(data: Rows) -> list[str]:
    return [name for _, name in sorted({(row["order"], row["layer"]) for row in data})]


def _by_corpus(data: Rows) -> Any:
    import altair as alt

    corpora = list(dict.fromkeys(row["corpus"] for row in data))
    return alt.Color("corpus:N", scale=_scale(corpora), legend=alt.Legend(title=None))


def _scale(names: Sequence[str]) -> Any:
    import altair as alt

    return alt.Scale(
        domain=list(names), range=[COLOURS[n % len(COLOURS)] for n in range(len(names))]
    )


def _width(models: Sequence[str]) -> int:
    return _WIDTHS[columns_for(models)]


def _facets(layers: Sequence[Any], data: Rows, models: Sequence[str], text: str) -> Spec:
    import altair as alt

    facet = alt.Facet("model:N", title=None, sort=list(models), header=header(15))
    chart = alt.layer(*layers, data=alt.InlineData(values=list(data)))
    return finished(chart.facet(facet, columns=columns_for(models)), text)


def draw_sparsity(results: Results) -> Spec:
    """Natural sparsity of the study's profiles."""
    return sparsity_figure(results.profiles.layers, results.profiles.models)


def draw_lorenz(results: Results) -> Spec:
    """How activations spread over neurons in the study's profiles."""
    return lorenz_figure(results.profiles.ranked, results.profiles.models)


def draw_frequency(results: Results) -> Spec:
    """Activation frequencies of the study's profiles."""
    return frequency_figure(results.profiles.ranked, results.profiles.models)


def draw_overlap(results: Results) -> Spec:
    """Hot sets that the study's profiles share."""
    return overlap_figure(results.profiles.overlaps, results.profiles.models)


SECTION = Section(
    (
        Figure("natural-sparsity", draw_sparsity),
        Figure("activations-by-rank", draw_lorenz),
        Figure("activation-frequency", draw_frequency),
        Figure("hot-sets-shared", draw_overlap),
    ),
    values,
)
