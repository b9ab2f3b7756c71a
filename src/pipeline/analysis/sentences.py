"""The finding in sentences, worded by what the figures say."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.numbers import number, p_value, percent, points, span
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]


def sentences(
    models: Rows,
    curves: Rows,
    contrasts: Rows,
    correlations: Rows,
    sparsifiers: Mapping[str, str],
    confidence: float,
) -> list[str]:
    """Whether coldness matters; what the whole cold and the whole hot set cost; and, where single
    parts were removed, whether their activity predicts the loss.

    Every figure is points of accuracy, mean of the reasoning tasks, with its interval in brackets.
    Of several methods with one sparsifier the first is told. A model that is not clear of chance
    before pruning is told as such, since it has nothing to lose.
    """
    rows = _Reasoning(curves, sparsifiers)
    able = [model for model in models if rows.clear_of_chance(model["model"])]
    unable = [model["model"] for model in models if model not in able]
    if not rows.dense:
        return [
            "No task of this study has right or wrong answers that need reasoning, so nothing can "
            "be said of reasoning.",
            "The tables tell what was measured on its other tasks.",
        ]
    if not able:
        return [
            "No model of this study is clear of chance on the reasoning tasks before pruning, so "
            "nothing can be said of what pruning costs.",
            "The table of the dense models shows their accuracies beside chance.",
        ]
    second = _sets(able, rows)
    if unable:
        second += f" Not clear of chance before pruning, and left out: {', '.join(unable)}."
    return [
        _coldness(able, rows, contrasts, confidence),
        second,
        *_prediction(correlations, confidence),
    ]


_COLDNESS = {
    "less": "Cold neurons matter less than random ones",
    "more": "Cold neurons matter more than random ones",
    "none": "Cold neurons do not clearly matter less than random ones",
}
_WHOLE_SET = {
    "more": "The cold set as a whole cannot be spared",
    "less": "The model gains by the loss of its cold set",
    "none": "The whole cold set costs nothing that is clear of zero",
}


class _Reasoning:
    """Curve rows of the mean of the reasoning tasks, by model, sparsifier and level."""

    def __init__(self, curves: Rows, sparsifiers: Mapping[str, str]) -> None:
        self.methods: dict[str, str] = {}
        for method, sparsifier in sparsifiers.items():
            self.methods.setdefault(sparsifier, method)
        pooled = [row for row in curves if row["task"] == REASONING]
        self._rows = {(row["model"], row["method"], row["level"]): row for row in pooled}
        self.dense = {row["model"]: row for row in pooled if row["method"] == DENSE}

    def clear_of_chance(self, model: str) -> bool:
        """True when the dense model's interval lies above chance."""
        return model in self.dense and self.dense[model]["corrected_loss"] is not None

    def at(self, model: str, sparsifier: str, level: str) -> Row | None:
        """The row of a condition, or None."""
        return self._rows.get((model, self.methods.get(sparsifier, ""), level))


def _coldness(models: Rows, rows: _Reasoning, contrasts: Rows, confidence: float) -> str:
    parts, directions, level, draws = [], set(), "", 0
    for model in models:
        for row in contrasts:
            if row["model"] == model["model"] and _is_coldness(row, rows):
                level = row["first"]["level"]
                own = rows.at(row["model"], "drop_cold", level)
                random = rows.at(row["model"], "drop_random", level)
                if own and random:
                    parts.append(f"{_loss(own)} on {row['model']}, {_difference(row)}")
                    directions.add(_direction(row["low"], row["high"]))
                    draws = random["seeds"]
    if not parts:
        return "This study compares no level of cold neurons with as many drawn at random."
    mixed = "Cold neurons do not differ from random ones alike on all models"
    verdict = _COLDNESS.get("".join(directions), mixed)
    if draws == 1:
        verdict = "Against one random draw, which says little of others"
    return (
        f"{verdict}: where {percent(float(level), 0)} of the FFN neurons are removed, the coldest "
        f"cost {' and '.join(parts)} (points of reasoning accuracy, paired "
        f"{percent(confidence, 0)} intervals; {'one draw' if draws == 1 else f'{draws} draws'})"
        f"{_beside_contribution(rows, contrasts, level)}."
    )


def _beside_contribution(rows: _Reasoning, contrasts: Rows, level: str) -> str:
    """The coldest against the least contributing, the control that weighs what a neuron does."""
    methods = (rows.methods.get("drop_cold"), rows.methods.get("drop_low_contribution"))
    parts = [
        f"{points(c['estimate'])} {span(c['low'], c['high'])} on {c['model']}"
        for c in contrasts
        if (c["first"]["method"], c["second"]["method"]) == methods
        and c["first"]["level"] == c["second"]["level"] == level
        and rows.clear_of_chance(c["model"])
    ]
    if not parts:
        return ""
    return f"; than as many of the least contributing they cost more by {' and '.join(parts)}"


def _is_coldness(contrast: Row, rows: _Reasoning) -> bool:
    """True for the coldest against random ones at one level that is a share."""
    first, second = contrast["first"], contrast["second"]
    methods = (rows.methods.get("drop_cold"), rows.methods.get("drop_random"))
    same = first["level"] == second["level"] and first["level"] not in ("cold", "hot")
    return (first["method"], second["method"]) == methods and same


def _sets(models: Rows, rows: _Reasoning) -> str:
    cold = {m["model"]: r for m in models if (r := rows.at(m["model"], "drop_cold", "cold"))}
    hot = {m["model"]: r for m in models if (r := rows.at(m["model"], "keep_cold", "hot"))}
    parts = []
    if cold:
        found = {_direction(row["loss_low"], row["loss_high"]) for row in cold.values()}
        mixed = "The cold set as a whole is not spared alike by all models"
        verdict = _WHOLE_SET.get("".join(found), mixed)
        costs = [_set(row, rows, "cold") for row in cold.values()]
        parts.append(f"{verdict}: removing it costs {' and '.join(costs)}")
    if hot:
        costs = [_set(row, rows, "hot") for row in hot.values()]
        parts.append(f"removing the hot set costs {' and '.join(costs)}")
    if not parts:
        return (
            "This study holds no condition that removes a whole cold or hot set (levels `cold` and "
            "`hot`), so it cannot say what either costs."
        )
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _set(row: Row, rows: _Reasoning, which: str) -> str:
    size = percent(row["neuron_sparsity_imposed"], 0)
    random = rows.at(row["model"], "drop_random", which)
    beside = f"; as many at random {_loss(random)}" if random else ""
    return f"{_loss(row)} on {row['model']} ({size} of its neurons{beside})"


_TREND = {"more": "rises with", "less": "falls with", "none": "does not clearly go with"}
#: Level and measure of the units -> how the removal and the measure are named.
_PARTS = {
    ("neuron", "activity"): ("a tenth of the neurons at a time", "how active the tenth is"),
    ("layer", "natural_sparsity"): (
        "the cold neurons of one layer at a time",
        "the layer's natural sparsity, which also decides how many go",
    ),
}


def _prediction(correlations: Rows, confidence: float) -> list[str]:
    """One sentence on the parts that were removed alone, of all backbones pooled; none without.

    Of several methods that remove such parts the first is told.
    """
    parts = []
    for (level, measure), (removed, against) in _PARTS.items():
        rows = [r for r in correlations if (r["level"], r["measure"]) == (level, measure)]
        rows = [r for r in rows if r["method"] == rows[0]["method"] and r["spearman"] is not None]
        pooled = [r for r in rows if r["model"] is None] or rows
        if pooled:
            row = pooled[0]
            clear = row["p"] <= 1 - confidence
            verdict = _TREND[_direction(row["low"], row["high"]) if clear else "none"]
            where = "" if row["model"] is None else f" on {row['model']}"
            parts.append(
                f"removing {removed}{where}, the loss {verdict} {against}: by "
                f"{points(row['estimate'])} {span(row['low'], row['high'])} points per standard "
                f"deviation (Spearman's coefficient {number(row['spearman'])}, p {_is(row['p'])}, "
                f"{row['units']} units)"
            )
    text = "; ".join(parts)
    return [f"{text[0].upper()}{text[1:]}."] if parts else []


def _is(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _difference(row: Row) -> str:
    plain = f"{points(row['estimate'])} {span(row['low'], row['high'])}"
    turned = f"{points(-row['estimate'])} {span(-row['high'], -row['low'])}"
    direction = _direction(row["low"], row["high"])
    if direction == "none":
        return f"{plain} more than as many at random, which is not clear of zero,"
    if direction == "less":
        return f"{turned} less than as many at random"
    return f"{plain} more than as many at random"


def _direction(low: float, high: float) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if high < 0 else "more" if low > 0 else "none"


def _loss(row: Row) -> str:
    return f"{points(row['loss'])} {span(row['loss_low'], row['loss_high'])}"
