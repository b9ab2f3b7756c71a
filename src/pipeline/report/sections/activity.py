"""Whether activity predicts the loss: parts removed alone, correlations, and steps."""

from collections.abc import Sequence
from typing import Any

from pipeline.report.curves import models_of
from pipeline.report.results import Results, Rows
from pipeline.report.section import Figure, Section
from pipeline.report.style import COLOURS, INK, PALETTE, Spec, finished, header, layer_axis, nothing

#: Measures of tables.correlations as the page names them.
_MEASURES = {
    "activity": "activity of the decile",
    "natural_sparsity": "natural sparsity of the layer",
    "activity_removed": "activity removed, within removals of equally many neurons",
    "activity_removed, pooled": "activity removed, all removals (descriptive)",
    "neurons removed, pooled": "neurons removed, all removals (descriptive)",
    "activity_removed given the number": "activity removed given the number, all removals "
    "(descriptive)",
    "neuron_sparsity_imposed": "neurons removed, levels of one method (descriptive)",
}
#: Level of UNITS -> title of its axis.
_PARTS = {
    "neuron": "decile of the neurons, 1 the coldest",
    "layer": "layer whose cold neurons go, 0 the first",
}


def values(results: Results) -> dict[str, Any] | None:
    """The correlations; None where there is nothing to set the loss against."""
    rows = relations(results.tables["correlations"])
    parted, by_steps = bool(results.tables["units"]), bool(_shown_steps(results))
    return {"relations": rows, "parted": parted, "by_steps": by_steps} if rows else None


def relations(correlations: Rows) -> list[dict[str, Any]]:
    """Rank correlations with the measure in words; pooled rows first within a level."""
    levels = ("removal", "neuron", "layer", "condition")
    ordered = list(correlations)
    ordered.sort(key=lambda row: (levels.index(row["level"]), row["model"] is not None))
    return [{**row, "measure": _MEASURES.get(row["measure"], row["measure"])} for row in ordered]


def part_figure(units: Rows, models: Rows) -> Spec:
    """Accuracy lost when one decile, or the cold neurons of one layer, are removed alone.

    `units` are rows of tables.correlations.UNITS; there is a row for each level and a column for
    each model.
    """
    import altair as alt

    if not units:
        return nothing("No part of a model was removed alone, so there is nothing to draw.")
    names = models_of(units, models)
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
            x = alt.X("unit:O", title=title, axis=layer_axis())
            bars = base.mark_bar(color=COLOURS[0], opacity=0.75).encode(x=x, y=y)
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


def steps_figure(steps: Rows, methods: Sequence[str], level: str, models: Rows) -> Spec:
    """Share of right answers that stay right after pruning, by the number of steps, beside what
    equal steps would leave, with a row for each method, a column for each model and a line for each
    task.

    `steps` are rows of tables.correlations.STEPS; shown are those of `methods` at one level.
    """
    import altair as alt

    shown = _of_methods(steps, methods, level)
    if not shown:
        return nothing("No task has questions of several numbers of steps, so nothing is drawn.")
    names = models_of(shown, models)
    shares = ("stayed", "low", "high", "expected")
    data = [
        {"method": row["method"], "model": row["model"], "task": row["task"], "steps": row["steps"]}
        | {name: 100 * row[name] for name in shares}
        for row in sorted(shown, key=lambda r: (r["method"], r["model"], r["task"], r["steps"]))
    ]
    tasks = sorted({row["task"] for row in shown})
    base = alt.Chart(width=330 if len(names) > 1 else 560, height=170)
    counts = sorted({row["steps"] for row in shown})
    x = alt.X(
        "steps:Q",
        title="steps that the question needs",
        axis=alt.Axis(values=counts, format="d"),
        scale=alt.Scale(zero=False, nice=False, padding=12),
    )
    y = alt.Y("stayed:Q", title="Stay right, %", scale=alt.Scale(domain=[0, 100]))
    colours = alt.Scale(domain=tasks, range=[PALETTE[i % len(PALETTE)] for i in range(len(tasks))])
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


def _of_methods(steps: Rows, methods: Sequence[str], level: str) -> Rows:
    return [row for row in steps if row["method"] in methods and row["level"] == level]


def _shown_steps(results: Results) -> Rows:
    level = results.finding["reference_level"]
    return _of_methods(results.tables["steps"], results.by_steps, level)


def draw_parts(results: Results) -> Spec:
    """The figure of parts that were removed alone."""
    return part_figure(results.tables["units"], results.finding["models"])


def draw_steps(results: Results) -> Spec:
    """The figure of answers that stay right, of the methods that are shown by steps."""
    finding = results.finding
    return steps_figure(
        results.tables["steps"], results.by_steps, finding["reference_level"], finding["models"]
    )


SECTION = Section(
    (Figure("accuracy-lost-by-part", draw_parts), Figure("right-by-steps", draw_steps)),
    values,
)
