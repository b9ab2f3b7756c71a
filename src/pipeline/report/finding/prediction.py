"""Whether activity goes with the loss: rank correlations in words."""

from pipeline.config.orders import LAYER, MODEL
from pipeline.report.finding.facts import Facts, Row, Rows
from pipeline.report.numbers import number, p_value

_TREND = {True: "rises with", False: "falls with"}
#: Level of the units -> measure, how the removal and the measure are named.
_PREDICTED = {
    "neuron": ("activity", "a tenth of {whose} neurons at a time", "how active the tenth is"),
    "layer": (
        "natural_sparsity",
        "the cold neurons of one layer at a time",
        "the layer's natural sparsity, which also decides how many go",
    ),
    "removal": (
        "activity_removed",
        "equally many neurons in different ways",
        "the share of all activations that they carried",
    ),
}
_WHOSE = {LAYER: "every layer's", MODEL: "the model's"}


def prediction(correlations: Rows, facts: Facts, confidence: float) -> list[str]:
    """One sentence a kind of removal that activity may predict; none without.

    Of several methods that remove one part at a time the first is told.
    """
    said = []
    for level, (measure, removed, against) in _PREDICTED.items():
        rows = [r for r in correlations if (r["level"], r["measure"]) == (level, measure)]
        rows = [r for r in rows if r["method"] == rows[0]["method"] and r["spearman"] is not None]
        by_model = [row for row in rows if row["model"] is not None]
        if by_model:
            whole = next((row for row in rows if row["model"] is None), by_model[0])
            scopes = {order.method: order.scope for order in facts.orders.all}
            what = removed.format(whose=_WHOSE[scopes.get(whole["method"], LAYER)])
            said.append(f"Removing {what}, {_trend(whole, by_model, against, 1 - confidence)}.")
    return said


def _trend(whole: Row, by_model: Rows, against: str, error: float) -> str:
    if whole["least_p"] > error:
        few = f"{whole['units']} are too few"
        return f"{few} to tell whether the loss goes with {against}"
    each = ", ".join(f"{number(row['spearman'])} on {row['model']}" for row in by_model)
    rank = f"rank correlation {each}; p {_is(whole['p'])}, {whole['units']} removals"
    if whole["p"] > error:
        signs = {row["spearman"] > 0 for row in by_model}
        apart = "; the models disagree in its sign" if len(signs) > 1 else ""
        return f"the loss does not clearly go with {against} ({rank}{apart})"
    return f"the loss {_TREND[whole['spearman'] > 0]} {against} ({rank})"


def _is(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
