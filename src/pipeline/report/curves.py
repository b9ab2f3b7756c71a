"""What figures of losses against achieved sparsity share: their data and their layers.

Rows are those of tables.curves.CURVES or PERPLEXITY as mappings, `models` the rows of the finding's
`models`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.level import PART, Level
from pipeline.report.looks import Look, by_method, looks
from pipeline.report.style import INK, QUIET, header
from pipeline.tables.curves import DENSE, NEURONS_REMOVED, REASONING

Rows = Sequence[Mapping[str, Any]]

#: Facets side by side -> the width of each in pixels.
WIDTHS = {1: 640, 2: 430, 3: 300}
REMOVED = "FFN neurons removed, %"
NO_CONDITION = "No condition was evaluated, so there is nothing to draw."
NO_CURVE = "No share of the neurons was removed and nothing else done, so there is no curve."


@dataclass(frozen=True)
class Lost:
    """What a vertical axis shows: its title, and what losses are multiplied by."""

    title: str
    factor: int


POINTS, NATS = Lost("Accuracy lost, points", 100), Lost("Nats a token lost", 1)


def on_curves(rows: Rows) -> Rows:
    """Rows of conditions that remove a share or a set of the neurons for good; single parts make no
    curve, and all other methods are compared at an achieved measure."""
    return [
        row
        for row in pruned(rows)
        if row["measure"] == NEURONS_REMOVED and Level.parse(row["level"]).kind != PART
    ]


def pruned(rows: Rows) -> Rows:
    return [row for row in rows if row["method"] != DENSE]


def curve_layers(
    styles: Mapping[str, Look],
    width: int,
    height: int,
    named: bool,
    across: str = REMOVED,
    lost: Lost = POINTS,
) -> list[Any]:
    """Zero line, cold rule, intervals, lines and points of one facet."""
    import altair as alt

    base = alt.Chart(width=width, height=height)
    cold = base.transform_filter("datum.part === 'cold'")
    x = alt.X("sparsity:Q", title=across, axis=alt.Axis(tickCount=8))
    y = alt.Y("loss:Q", title=lost.title, axis=alt.Axis(grid=True, tickCount=6))
    layers = [
        base.transform_filter("datum.part === 'zero'")
        .mark_rule(color=INK, strokeWidth=1)
        .encode(y=y),
        cold.mark_rule(color=QUIET, strokeDash=[4, 4], strokeWidth=1.2).encode(x=x),
    ]
    # One layer per method, since scales for dashes and widths would break up the legend's symbols.
    # Controls first, so that the arms lie on top.
    for method, look in reversed(list(styles.items())):
        of_method = base.transform_filter(alt.FieldEqualPredicate(field="method", equal=method))
        curve = of_method.transform_filter("datum.part === 'curve'")
        layers += [
            curve.mark_rule(color=look.colour, strokeWidth=1.1, opacity=0.55).encode(
                x=x, y=alt.Y("low:Q"), y2="high:Q"
            ),
            curve.mark_line(
                color=look.colour, strokeDash=list(look.dash), strokeWidth=look.width
            ).encode(x=x, y=y, order="order:Q"),
            of_method.transform_filter("datum.part === 'draw'")
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


def task_panels(
    rows: Rows,
    models: Rows,
    methods: Rows,
    lost: Lost = POINTS,
    column: str = "neuron_sparsity_imposed",
    across: str = REMOVED,
    height: int = 140,
) -> Any:
    """A chart with a row a task and a column a model; controls are named so. `column` holds the
    sparsity, and where it is of neurons removed, a rule marks the end of the cold set."""
    import altair as alt

    names = models_of(rows, models)
    labels = [task_label(row) for row in one_a_task(rows)]
    data = curve_data(rows, column, lost)
    for label in labels:
        data += facet_data(models if across == REMOVED else [], names, label)
    layers = curve_layers(
        looks_of(rows, methods),
        width=330 if len(names) > 1 else 560,
        height=height,
        named=False,
        across=across,
        lost=lost,
    )
    return alt.layer(*layers, data=alt.InlineData(values=data)).facet(
        row=alt.Row(
            "task:N",
            title=None,
            sort=labels,
            header=header(13, labelAngle=0, labelAlign="left", labelOrient="left"),
        ),
        column=alt.Column("model:N", title=None, sort=names, header=header(15)),
    )


def curve_data(
    rows: Rows, column: str = "neuron_sparsity_imposed", lost: Lost = POINTS
) -> list[dict[str, Any]]:
    """One point a row, in percent and the unit of `lost`; `column` holds the sparsity. A loss
    without an interval has ends where it is itself; one that is no number has no point."""
    points = [
        {
            "part": "curve",
            "model": row["model"],
            "method": row["method"],
            "level": row["level"],
            "task": task_label(row),
            "sparsity": 100 * row[column],
            "loss": lost.factor * row["loss"],
            "low": lost.factor * _or(row["loss_low"], row["loss"]),
            "high": lost.factor * _or(row["loss_high"], row["loss"]),
        }
        for row in rows
        if row["loss"] is not None
    ]
    keys = ("model", "task", "method", "sparsity", "level")
    points.sort(key=lambda point: [point[key] for key in keys])
    return [point | {"order": index} for index, point in enumerate(points)]


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def draw_data(rows: Rows, removals: Rows) -> list[dict[str, Any]]:
    """One dot for each draw of the conditions in `rows` that pool several."""
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


def facet_data(models: Rows, names: Sequence[str], task: str) -> list[dict[str, Any]]:
    """A zero line for every facet and, where the model's hot set is known, a mark at the end of the
    cold set."""
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


def models_of(rows: Rows, models: Rows) -> list[str]:
    """Models in the finding's order, then those that occur only in the rows."""
    named = [row["model"] for row in models]
    return list(dict.fromkeys(named + sorted({row["model"] for row in rows})))


def looks_of(rows: Rows, methods: Rows) -> dict[str, Look]:
    return looks({row["method"] for row in rows} - {DENSE}, methods)


def one_a_task(rows: Rows) -> list[Mapping[str, Any]]:
    """One row a task: reasoning tasks first, then controls, each by name."""
    first = {row["task"]: row for row in rows}
    return sorted(first.values(), key=lambda row: (not row["reasoning"], row["task"]))


def task_label(row: Mapping[str, Any]) -> str:
    return row["task"] if row["reasoning"] else f"{row['task']} (control)"
