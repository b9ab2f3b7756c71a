"""Accuracy against measured speed: how fast the kernels ran here at the sparsity of each condition.

Timings belong to one machine and one day, so this is a page of its own: a study promises the same
bytes again, and this page cannot.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.models.skips import ACTIVE, CHANNELS, SLICED, THRESHOLD, UNGATED_THRESHOLD
from pipeline.report.looks import by_method, looks
from pipeline.report.numbers import number, percent, points, span
from pipeline.report.render import html
from pipeline.report.style import INK, Spec, finished, header, nothing
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]

_TEMPLATE = "speed.html.j2"
#: The name under which neurons that a model skips by itself are shown.
NATURAL = "natural zeros"
#: The achieved measure that the share of each form is.
_SHARES = {
    SLICED: "neuron_sparsity_imposed",
    ACTIVE: "neuron_sparsity_imposed",
    THRESHOLD: "neuron_sparsity_total",
    UNGATED_THRESHOLD: "neuron_sparsity_total",
    CHANNELS: "model_weight_sparsity_imposed",
}


def placed(
    curves: Rows, forms: Mapping[str, str], speeds: Rows, models: Mapping[str, Row]
) -> list[dict[str, Any]]:
    """Conditions on the mean of the reasoning tasks with the speed-up that was measured.

    `curves` are rows of tables.curves.CURVES, `forms` the kernels' form by method, `speeds` rows of
    decoding.timing.speeds of one shape, `models` by name the bodies of tables.model.MODEL.
    `speed_up`, with `low` and `high`, is for all linear layers of the blocks: at the share that the
    condition achieved, the FFN (or, where input channels are skipped, every layer) is as fast as
    measured. Between measured shares time is interpolated on a straight line; beyond the last one
    it is that one's.
    """
    found = []
    for row in curves:
        if row["task"] != REASONING:
            continue
        form, name = forms.get(row["method"]), row["method"]
        if name == DENSE and row["neuron_sparsity_total"] > 0:
            form, name = THRESHOLD, NATURAL
        if form is None:
            continue
        model = models[row["model"]]
        if form == THRESHOLD and not model["gated"]:
            form = UNGATED_THRESHOLD
        share = row[_SHARES[form]]
        read = 0.0
        if form == ACTIVE:
            # The weights that a predictor reads in addition to the neurons, as a share of an FFN's.
            read = max(0.0, share - row["ffn_weight_sparsity_imposed"])
        part = 1.0 if form == CHANNELS else model["ffn_weights"] / model["linear_weights"]
        times = {
            bound: 1 / (1 - part + part * (time_at(speeds, form, share, of) + read))
            for bound, of in (("speed_up", "ratio"), ("low", "low"), ("high", "high"))
        }
        kept = ("model", "level", "loss", "loss_low", "loss_high")
        found.append({**{k: row[k] for k in kept}, "method": name, "form": form, "share": share}
                     | times)  # fmt: skip
    return sorted(found, key=lambda row: (row["model"], -row["speed_up"], row["method"]))


def time_at(speeds: Rows, form: str, share: float, of: str = "ratio") -> float:
    """Time of a form at a share, where dense takes 1; `of` names the value or the end of its
    interval."""
    rows = sorted((row for row in speeds if row["form"] == form), key=lambda row: row["share"])
    share = min(max(share, rows[0]["share"]), rows[-1]["share"])
    for before, after in zip(rows, rows[1:], strict=False):
        if share <= after["share"]:
            along = (share - before["share"]) / (after["share"] - before["share"])
            return float((1 - along) / before[of] + along / after[of])
    return float(1 / rows[-1][of])


def figure(rows: Rows, methods: Rows) -> Spec:
    """Points of accuracy lost against the measured speed-up, a panel a model; `methods` are all of
    the study (Study.methods)."""
    import altair as alt

    if not rows:
        return nothing("No condition of this study skips what the kernels have a form for.")
    data = [
        {
            "model": row["model"],
            "method": row["method"],
            "speed": row["speed_up"],
            "loss": 100 * row["loss"],
            "low": 100 * row["loss_low"],
            "high": 100 * row["loss_high"],
        }
        for row in rows
    ]
    base = alt.Chart(width=300, height=260)
    x = alt.X(
        "speed:Q",
        title="times as fast, the blocks' linear layers",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=[0.5, 1, 1.5, 2, 3, 4, 6, 8, 10], format="~g"),
    )
    y = alt.Y("loss:Q", title="Accuracy lost, points")
    look = by_method(looks({row["method"] for row in rows}, methods))
    ends = base.mark_rule(strokeWidth=1)
    dense = alt.Chart(alt.InlineData(values=[{"speed": 1}]))
    layers = [
        ends.encode(x, alt.Y("low:Q"), alt.Y2("high:Q"), look["color"]),
        base.mark_line(strokeWidth=1).encode(x, y, look["color"]),
        base.mark_point(filled=True, size=45, opacity=1).encode(x, y, **look),
        dense.mark_rule(color=INK, strokeDash=[3, 3]).encode(x="speed:Q"),
    ]
    facet = alt.Facet("model:N", title=None, header=header(15))
    chart = alt.layer(*layers, data=alt.InlineData(values=data)).facet(facet, columns=2)
    return finished(
        chart, "Points of reasoning accuracy lost against measured speed-up, by method."
    )


def page(study: str, rows: Rows, speeds: Rows, setting: Mapping[str, Any], drawn: str) -> str:
    """The page as HTML text. `setting` holds d, d_ff, dtype, threads, machine and backend; `drawn`
    is the figure as SVG text."""
    from markupsafe import Markup

    filters = {"percent": percent, "points": points, "span": span, "number": number}
    return html(
        _TEMPLATE, filters, study=study, rows=rows, speeds=speeds, setting=setting, natural=NATURAL,
        figure=Markup(drawn),
    )  # fmt: skip
