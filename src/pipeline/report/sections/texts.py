"""What pruning costs on texts, in nats a token."""

from typing import Any

from pipeline.report.compared import panels
from pipeline.report.curves import (
    NATS,
    NO_CONDITION,
    NO_CURVE,
    Rows,
    on_curves,
    pruned,
    task_panels,
)
from pipeline.report.results import Results
from pipeline.report.section import Figure, Section
from pipeline.report.sections.compared import NO_MEASURE, across
from pipeline.report.style import Spec, finished, nothing


def values(results: Results) -> dict[str, Any] | None:
    """The pruned conditions, and which figures have something to show; None where no task scores
    texts."""
    rows = results.tables["perplexity"]
    if not rows:
        return None
    shown = {"removed": bool(_told(on_curves(rows))), "achieved": bool(panels(_told(rows)))}
    return {"perplexity": pruned(rows), "shown": shown}


#: Height of a panel in pixels: losses of texts differ more than those of accuracy.
_HEIGHT = 220


def removed_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Nats a token lost against the share of FFN neurons removed, a row a task and a column a
    model."""
    shown = _told(on_curves(rows))
    if not shown:
        return nothing(NO_CURVE if pruned(rows) else NO_CONDITION)
    return finished(
        task_panels(shown, models, methods, NATS, height=_HEIGHT),
        "Nats a token lost on texts against the share of FFN neurons removed, by method.",
    )


def achieved_figure(rows: Rows, models: Rows, methods: Rows) -> Spec:
    """Nats a token lost against an achieved measure of sparsity: rows of tasks for each measure, a
    column a model."""
    import altair as alt

    shown = panels(_told(rows))
    if not shown:
        return nothing(NO_MEASURE if pruned(rows) else NO_CONDITION)
    charts = [
        task_panels(of_measure, models, methods, NATS, f"{measure}_total", across(measure), _HEIGHT)
        for measure, of_measure in shown.items()
    ]
    return finished(
        alt.vconcat(*charts).resolve_scale(color="independent", shape="independent"),
        "Nats a token lost on texts against achieved sparsity, by method.",
    )


def _told(rows: Rows) -> Rows:
    """Rows whose loss is a number."""
    return [row for row in rows if row["loss"] is not None]


def draw_removed(results: Results) -> Spec:
    """The figure of neurons that were removed for good."""
    rows, models = results.tables["perplexity"], results.finding["models"]
    return removed_figure(rows, models, results.methods)


def draw_achieved(results: Results) -> Spec:
    """The figure of all other methods, at what they achieved."""
    rows, models = results.tables["perplexity"], results.finding["models"]
    return achieved_figure(rows, models, results.methods)


SECTION = Section(
    (Figure("nats-lost", draw_removed), Figure("nats-lost-by-measure", draw_achieved)), values
)
