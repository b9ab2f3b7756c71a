"""Vega-Lite specs of the report's figures: accuracy lost against achieved sparsity.

`rows` are rows of tables.curves.CURVES as mappings, `models` the rows of the finding's `models`.
Each spec holds its own data. Equal input gives equal specs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.compared import MEASURES, at_measure
from pipeline.report.style import INK, QUIET, Spec, finished, header, nothing
from pipeline.tables.curves import DENSE, NEURONS_REMOVED, REASONING, is_part

Rows = Sequence[Mapping[str, Any]]

#: Number of models -> facets side by side (else three), and the width of each in pixels.
_COLUMNS = {1: 1, 2: 2, 4: 2}
_WIDTHS = {1: 640, 2: 430, 3: 300}


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    colour: str
    shape: str
    dash: tuple[int, ...] = (1, 0)
    width: float = 2.4


#: The two arms in colour and solid, the controls in greys and dashed.
_KNOWN = {
    "drop_cold": Look("#0072B2", "circle"),
    "keep_cold": Look("#D55E00", "square"),
    "drop_random": Look("#333333", "triangle-up", (6, 3), 1.4),
    "drop_small": Look("#7d7d7d", "diamond", (2, 2), 1.4),
    "drop_low_contribution": Look("#8e6c8a", "triangle-down", (8, 2, 2, 2), 1.4),
}
#: For all other methods: Okabe and Ito's colours that are left, then again with other dashes.
_COLOURS = ("#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#000000")
_SHAPES = ("cross", "triangle-right", "diamond", "triangle-left", "square", "circle", "triangle-up")
_DASHES = ((1, 0), (5, 2), (2, 2), (8, 2, 2, 2))


def main_figure(rows: Rows, removals: Rows, models: Rows) -> Spec:
    """Accuracy lost on the mean of the reasoning tasks, one facet a model.

    A dashed rule marks where the cold set ends; every draw of a method with several is a dot.
    `removals` are rows of tables.removals.REMOVALS. Without a condition the figure is a sentence.
    """
    import altair as alt

    kept = [row for row in _on_curves(rows) if row["task"] == REASONING]
    if not kept:
        return nothing(_NO_CURVE if _pruned(rows) else _NO_CONDITION)
    names = _model_names(kept, models)
    data = _curve_data(kept) + _draw_data(kept, removals) + _facet_data(models, names, REASONING)
    columns = _COLUMNS.get(len(names), 3)
    layers = _layers(_methods(kept), width=_WIDTHS[columns], height=300, named=True)
    facet = alt.Facet("model:N", title=None, sort=names, header=header(15, labelPadding=22))
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(facet, columns=columns)
    return finished(
        chart,
        "Points of reasoning accuracy lost against the share of FFN neurons removed, by method.",
    )


def task_figure(rows: Rows, models: Rows) -> Spec:
    """Accuracy lost on each task, a row a task and a column a model; controls are named so."""
    import altair as alt

    kept = [row for row in _on_curves(rows) if row["task"] != REASONING]
    if not kept:
        return nothing(_NO_CURVE if _pruned(rows) else _NO_CONDITION)
    names = _model_names(kept, models)
    labels = [_task_label(row) for row in _by_task(kept)]
    data = _curve_data(kept)
    for label in labels:
        data += _facet_data(models, names, label)
    layers = _layers(_methods(kept), width=330 if len(names) > 1 else 560, height=140, named=False)
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


def compared_figure(rows: Rows, models: Rows) -> Spec:
    """Accuracy lost on the mean of the reasoning tasks against an achieved measure of sparsity, a
    row a measure and a column a model."""
    import altair as alt

    kept = [row for row in at_measure(rows) if row["task"] == REASONING]
    if not kept:
        return nothing(_NO_MEASURE)
    names = _model_names(kept, models)
    width = _WIDTHS[_COLUMNS.get(len(names), 3)]
    charts = []
    for measure, title in MEASURES.items():
        own = [row for row in kept if row["measure"] == measure]
        if not own:
            continue
        data = _curve_data(own, f"{measure}_total")
        data += [{"part": "zero", "model": name, "loss": 0.0} for name in names]
        layers = _layers(
            _methods(own), width=width, height=300, named=False, across=f"{_upper(title)}, %"
        )
        facet = alt.Facet("model:N", title=None, sort=names, header=header(15))
        chart = alt.layer(*layers, data=alt.InlineData(values=data))
        charts.append(chart.facet(facet, columns=_COLUMNS.get(len(names), 3)))
    return finished(
        alt.vconcat(*charts).resolve_scale(color="independent", shape="independent"),
        "Points of reasoning accuracy lost against achieved sparsity, by method.",
    )


def part_figure(units: Rows, models: Rows) -> Spec:
    """Accuracy lost when one decile, or the cold neurons of one layer, are removed alone.

    `units` are rows of tables.correlations.UNITS; a row a level and a column a model.
    """
    import altair as alt

    if not units:
        return nothing("No part of a model was removed alone, so there is nothing to draw.")
    names = _model_names(units, models)
    data = [
        {
            "level": row["level"],
            "model": row["model"],
            "unit": row["unit"],
            "loss": 100 * row["loss"],
            "low": 100 * row["loss_low"],
            "high": 100 * row["loss_high"],
        }
        for row in sorted(units, key=lambda row: (row["level"], row["model"], row["unit"]))
    ]
    base = alt.Chart(width=330 if len(names) > 1 else 560, height=150)
    y = alt.Y("loss:Q", title="Accuracy lost, points", axis=alt.Axis(grid=True, tickCount=5))
    rows = []
    for level, title in _PARTS.items():
        if any(row["level"] == level for row in data):
            x = alt.X("unit:O", title=title, axis=alt.Axis(labelAngle=0))
            bars = base.mark_bar(color=_KNOWN["drop_cold"].colour, opacity=0.75).encode(x=x, y=y)
            ends = base.mark_rule(color=INK, strokeWidth=1.1)
            ranges = ends.encode(x=x, y="low:Q", y2="high:Q")
            values = [row for row in data if row["level"] == level]
            column = alt.Facet("model:N", title=None, sort=names, header=header(15))
            rows.append(
                alt.layer(bars, ranges, data=alt.InlineData(values=values)).facet(column=column)
            )
    return finished(
        alt.vconcat(*rows),
        "Points of reasoning accuracy lost when one decile of the neurons, or the cold neurons of "
        "one layer, are removed alone.",
    )


#: Names in a row of a legend that has more than fit in one.
_IN_ROW = 6
#: Level of UNITS -> title of its axis.
_PARTS = {
    "neuron": "decile of the neurons, 1 the coldest",
    "layer": "layer whose cold neurons go, 0 the first",
}


def _on_curves(rows: Rows) -> Rows:
    """Rows of conditions that remove a share or a set of the neurons for good; single parts make no
    curve, and what else is skipped or removed is compared at an achieved measure."""
    return [
        row
        for row in _pruned(rows)
        if row["measure"] == NEURONS_REMOVED and not is_part(row["level"])
    ]


def _pruned(rows: Rows) -> Rows:
    return [row for row in rows if row["method"] != DENSE]


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """A look for every method, arms first, then controls, then the others by name."""
    known = [name for name in _KNOWN if name in methods]
    others = sorted(set(methods) - set(_KNOWN))
    chosen = {name: _KNOWN[name] for name in known}
    for index, name in enumerate(others):
        chosen[name] = Look(
            _COLOURS[index % len(_COLOURS)],
            _SHAPES[index % len(_SHAPES)],
            _DASHES[index // len(_COLOURS) % len(_DASHES)],
            width=1.8,
        )
    return chosen


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _layers(
    styles: Mapping[str, Look],
    width: int,
    height: int,
    named: bool,
    across: str = "FFN neurons removed, %",
) -> list[Any]:
    """Zero line, cold rule, intervals, lines and points of one facet."""
    import altair as alt

    base = alt.Chart(width=width, height=height)
    cold = base.transform_filter("datum.part === 'cold'")
    x = alt.X("sparsity:Q", title=across, axis=alt.Axis(tickCount=8))
    y = alt.Y("loss:Q", title="Accuracy lost, points", axis=alt.Axis(grid=True, tickCount=6))
    layers = [
        base.transform_filter("datum.part === 'zero'")
        .mark_rule(color=INK, strokeWidth=1)
        .encode(y=y),
        cold.mark_rule(color=QUIET, strokeDash=[4, 4], strokeWidth=1.2).encode(x=x),
    ]
    # One layer a method, since scales for dashes and widths would fray the legend's symbols.
    # Controls first, so that the arms lie on top.
    for method, look in reversed(list(styles.items())):
        own = base.transform_filter(alt.FieldEqualPredicate(field="method", equal=method))
        curve = own.transform_filter("datum.part === 'curve'")
        layers += [
            curve.mark_rule(color=look.colour, strokeWidth=1.1, opacity=0.55).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q"
            ),
            curve.mark_line(
                color=look.colour, strokeDash=list(look.dash), strokeWidth=look.width
            ).encode(x=x, y=y, order="order:Q"),
            own.transform_filter("datum.part === 'draw'")
            .mark_circle(color=look.colour, size=14, opacity=0.6)
            .encode(x=x, y=y),
        ]
    layers.append(_points(base, styles).encode(x=x, y=y))
    if named:
        label = cold.mark_text(baseline="bottom", color=QUIET, fontSize=12)
        layers.append(label.encode(x=x, y=alt.value(-4), text="label:N"))
    return layers


def _points(base: Any, styles: Mapping[str, Look]) -> Any:
    """Points that carry the legend of all methods."""
    points = base.transform_filter("datum.part === 'curve'")
    return points.mark_point(filled=True, size=62, opacity=1).encode(**by_method(styles))


def by_method(styles: Mapping[str, Look]) -> dict[str, Any]:
    """Colour and shape of points by method, with a legend."""
    import altair as alt

    methods = list(styles)
    # In one row, dozens of names would make the figure many times as wide as its panels.
    rows = {"columns": _IN_ROW} if len(methods) > _IN_ROW + 1 else {}
    legend = alt.Legend(title=None, symbolSize=90, symbolLimit=0, **rows)
    colours = alt.Scale(domain=methods, range=[look.colour for look in styles.values()])
    shapes = alt.Scale(domain=methods, range=[look.shape for look in styles.values()])
    return {
        "color": alt.Color("method:N", scale=colours, legend=legend),
        "shape": alt.Shape("method:N", scale=shapes, legend=legend),
    }


def _curve_data(rows: Rows, column: str = "neuron_sparsity_imposed") -> list[dict[str, Any]]:
    """One point a row, in percent and points; `column` holds the sparsity."""
    points = [
        {
            "part": "curve",
            "model": row["model"],
            "method": row["method"],
            "level": row["level"],
            "task": _task_label(row),
            "sparsity": 100 * row[column],
            "loss": 100 * row["loss"],
            "low": 100 * row["loss_low"],
            "high": 100 * row["loss_high"],
        }
        for row in rows
    ]
    keys = ("model", "task", "method", "sparsity", "level")
    points.sort(key=lambda point: [point[key] for key in keys])
    return [point | {"order": index} for index, point in enumerate(points)]


def _draw_data(rows: Rows, removals: Rows) -> list[dict[str, Any]]:
    """One dot a draw of the conditions in `rows` that pool several."""
    pooled = {(row["model"], row["method"], row["level"]) for row in rows if row["seeds"] > 1}
    return [
        {
            "part": "draw",
            "model": row["model"],
            "method": row["method"],
            "task": REASONING,
            "sparsity": 100 * row["removed"] / row["neurons"],
            "loss": 100 * row["loss"],
        }
        for row in removals
        if (row["model"], row["method"], row["level"]) in pooled and row["loss"] is not None
    ]


def steps_figure(steps: Rows, methods: Sequence[str], level: str, models: Rows) -> Spec:
    """Share of right answers that stay right after pruning, by the number of steps, beside what
    equal steps would leave: a row a method and a column a model, a line a task.

    `steps` are rows of tables.correlations.STEPS; shown are those of `methods` at one level.
    """
    import altair as alt

    kept = [row for row in steps if row["method"] in methods and row["level"] == level]
    if not kept:
        return nothing("No task has questions of several numbers of steps, so nothing is drawn.")
    names = _model_names(kept, models)
    shares = ("stayed", "low", "high", "expected")
    data = [
        {"method": row["method"], "model": row["model"], "task": row["task"], "steps": row["steps"]}
        | {name: 100 * row[name] for name in shares}
        for row in sorted(kept, key=lambda r: (r["method"], r["model"], r["task"], r["steps"]))
    ]
    tasks = sorted({row["task"] for row in kept})
    base = alt.Chart(width=330 if len(names) > 1 else 560, height=170)
    counts = sorted({row["steps"] for row in kept})
    x = alt.X(
        "steps:Q",
        title="steps that the question needs",
        axis=alt.Axis(values=counts, format="d"),
        scale=alt.Scale(zero=False, nice=False, padding=12),
    )
    y = alt.Y("stayed:Q", title="Stay right, %", scale=alt.Scale(domain=[0, 100]))
    colours = alt.Scale(domain=tasks, range=[_task_colour(i) for i in range(len(tasks))])
    legend = alt.Legend(title=None, symbolOpacity=1, symbolType="circle")
    colour = alt.Color("task:N", scale=colours, legend=legend)
    layers = [
        base.mark_line(strokeDash=[4, 3], strokeWidth=1.2).encode(
            x=x, y=alt.Y("expected:Q"), color=colour
        ),
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour),
        base.mark_rule(strokeWidth=1, opacity=0.5).encode(
            x=x, y="low:Q", y2="high:Q", color=colour
        ),
        base.mark_point(filled=True, size=36).encode(x=x, y=y, color=colour),
    ]
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(
        row=alt.Row("method:N", title=None, sort=list(methods), header=header(13)),
        column=alt.Column("model:N", title=None, sort=names, header=header(15)),
    )
    return finished(
        chart,
        "Share of the dense model's right answers that stay right after pruning, by the number of "
        "steps, beside what is left if each step fails alike.",
    )


def _task_colour(index: int) -> str:
    colours = (_KNOWN["drop_cold"].colour, _KNOWN["keep_cold"].colour, *_COLOURS)
    return colours[index % len(colours)]


def _facet_data(models: Rows, names: Sequence[str], task: str) -> list[dict[str, Any]]:
    """A zero line for every facet and, where the model's hot set is known, the end of the cold."""
    shares = {row["model"]: 100 * (1 - row["hot"] / row["neurons"]) for row in models}
    zeros = [{"part": "zero", "model": name, "task": task, "loss": 0.0} for name in names]
    return zeros + [
        {
            "part": "cold",
            "model": name,
            "task": task,
            "sparsity": shares[name],
            "label": f"cold set: {shares[name]:.0f}%",
        }
        for name in names
        if name in shares
    ]


def _model_names(rows: Rows, models: Rows) -> list[str]:
    """Models in the finding's order, then those that only rows name."""
    named = [row["model"] for row in models]
    return list(dict.fromkeys(named + sorted({row["model"] for row in rows})))


def _methods(rows: Rows) -> dict[str, Look]:
    return looks(sorted({row["method"] for row in rows} - {DENSE}))


def _by_task(rows: Rows) -> list[Mapping[str, Any]]:
    """One row a task: reasoning tasks first, then controls, each by name."""
    first = {row["task"]: row for row in rows}
    return sorted(first.values(), key=lambda row: (not row["reasoning"], row["task"]))


def _task_label(row: Mapping[str, Any]) -> str:
    return row["task"] if row["reasoning"] else f"{row['task']} (control)"


_NO_CONDITION = "No condition was evaluated, so there is nothing to draw."
_NO_MEASURE = "No method was asked for an achieved measure, so there is nothing to compare."
_NO_CURVE = "No share of the neurons was removed and nothing else done, so there is no curve."
