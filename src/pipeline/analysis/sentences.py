"""The finding in sentences, worded by what the figures say."""

from collections.abc import Mapping, Sequence
from math import factorial, prod
from typing import Any

from pipeline.numbers import count, number, p_value, percent, points, span
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]


def sentences(
    models: Rows,
    curves: Rows,
    perplexity: Rows,
    contrasts: Rows,
    correlations: Rows,
    sparsifiers: Mapping[str, str],
    confidence: float,
) -> list[str]:
    """Whether coldness matters to reasoning, and what it does to texts; what the whole cold and the
    whole hot set cost; and, where single parts were removed, whether their activity predicts the
    loss.

    Figures are points of accuracy, mean of the reasoning tasks, or nats a token of texts, with
    their intervals in brackets.
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
        *_texts(perplexity, contrasts, rows),
        second,
        *_prediction(correlations, confidence),
    ]


_COLDNESS = {
    "less": "To reasoning, cold neurons matter less than random ones",
    "more": "To reasoning, cold neurons matter more than random ones",
    "none": "To reasoning, cold neurons do not clearly matter less than random ones",
}
_WHOLE_SET = {
    "more": "The cold set as a whole cannot be spared",
    "less": "The model gains by the loss of its cold set",
    "none": "The whole cold set costs nothing that is clear of zero",
}


class _Reasoning:
    """Curve rows of the mean of the reasoning tasks, by model, sparsifier and level."""

    def __init__(self, curves: Rows, sparsifiers: Mapping[str, str]) -> None:
        self.sparsifiers = sparsifiers
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
                    parts.append(f"{_loss(own)} on {row['model']} ({_difference(row)})")
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
        f"{_beside_others(rows, contrasts, level)}."
    )


#: Controls beside the random one -> as many of which neurons they remove.
_CONTROLS = {
    "drop_low_contribution": "of the least contributing",
    "drop_small": "with the smallest weights",
}


def _beside_others(rows: _Reasoning, contrasts: Rows, level: str) -> str:
    """The coldest against the other controls, and against the coldest by other methods."""
    cold = rows.methods.get("drop_cold")
    named = {rows.methods.get(key): text for key, text in _CONTROLS.items()}
    told: dict[str, list[str]] = {}
    for row in contrasts:
        same = row["first"]["level"] == row["second"]["level"] == level
        if row["first"]["method"] != cold or not same or not rows.clear_of_chance(row["model"]):
            continue
        second = row["second"]["method"]
        if second in named or rows.sparsifiers.get(second) == "drop_cold":
            text = named.get(second, f"by {second}")
            told.setdefault(text, []).append(f"{_more_or_less(row)} on {row['model']}")
    return "".join(f"; than as many {text}, {' and '.join(parts)}" for text, parts in told.items())


def _more_or_less(row: Row) -> str:
    """A difference with its interval, told the way round in which it is positive."""
    if row["estimate"] < 0:
        return f"{points(-row['estimate'])} {span(-row['high'], -row['low'])} less"
    return f"{points(row['estimate'])} {span(row['low'], row['high'])} more"


def _texts(perplexity: Rows, contrasts: Rows, rows: _Reasoning) -> list[str]:
    """One sentence a task that scores texts, at the level of the first sentence."""
    level = next((c["first"]["level"] for c in contrasts if _is_coldness(c, rows)), None)
    found = {(r["task"], r["model"], r["method"]): r for r in perplexity if r["level"] == level}
    said = []
    for task, reasoning in {row["task"]: row["reasoning"] for row in perplexity}.items():
        parts = []
        for model in dict.fromkeys(row["model"] for row in perplexity):
            own, random = (
                found.get((task, model, rows.methods.get(key, "")))
                for key in ("drop_cold", "drop_random")
            )
            if own and random:
                parts.append(f"{_nats(own)} on {model} (as many at random {_nats(random)})")
        if parts:
            kind = "" if reasoning else ", which needs no reasoning,"
            said.append(
                f"On {task}{kind} the same coldest cost, in nats a token, {' and '.join(parts)}."
            )
    return said


def _nats(row: Row) -> str:
    if row["loss"] is None:
        return "no finite number"
    if row["loss_low"] is None:
        return number(row["loss"])
    return f"{number(row['loss'])} [{number(row['loss_low'])}, {number(row['loss_high'])}]"


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


_TREND = {True: "rises with", False: "falls with"}
#: Level and measure of the units -> how the removal and the measure are named.
_PARTS = {
    ("neuron", "activity"): ("a tenth of the neurons at a time", "how active the tenth is"),
    ("layer", "natural_sparsity"): (
        "the cold neurons of one layer at a time",
        "the layer's natural sparsity, which also decides how many go",
    ),
}


def _prediction(correlations: Rows, confidence: float) -> list[str]:
    """One sentence a kind of part that was removed alone; none without.

    Of several methods that remove such parts the first is told. Slopes are told only where the
    order is clear, model by model: their intervals are over questions, for these very units.
    """
    found = []
    for (level, measure), (removed, against) in _PARTS.items():
        rows = [r for r in correlations if (r["level"], r["measure"]) == (level, measure)]
        rows = [r for r in rows if r["method"] == rows[0]["method"] and r["spearman"] is not None]
        own = [row for row in rows if row["model"] is not None]
        if own:
            whole = next((row for row in rows if row["model"] is None), own[0])
            found.append(f"Removing {removed}, {_trend(whole, own, against, 1 - confidence)}.")
    return found


def _trend(whole: Row, own: Rows, against: str, error: float) -> str:
    # Rising and falling order are the two most extreme of all orders within the models.
    if 2 / prod(factorial(row["units"]) for row in own) > error:
        few = f"{whole['units']} are too few"
        return f"{few} to tell whether the loss goes with {against}"
    mean = "mean of the models' " if len(own) > 1 else ""
    rank = (
        f"{mean}Spearman's coefficients {number(whole['spearman'])}, p {_is(whole['p'])}, "
        f"{whole['units']} units"
    )
    signs = {row["spearman"] > 0 for row in own}
    if whole["p"] > error:
        apart = "; the models disagree in its sign" if len(signs) > 1 else ""
        return f"the loss does not clearly go with {against} ({rank}{apart})"
    slopes = " and ".join(
        f"{points(row['estimate'])} {span(row['low'], row['high'])} on {row['model']}"
        for row in own
    )
    return (
        f"the loss {_TREND[whole['spearman'] > 0]} {against} ({rank}): by {slopes} points per "
        "standard deviation"
    )


def _is(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _difference(row: Row) -> str:
    told = f"{_more_or_less(row)} than as many at random"
    if _direction(row["low"], row["high"]) == "none":
        return f"{told}, which is not clear of zero"
    return told


def _direction(low: float, high: float) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if high < 0 else "more" if low > 0 else "none"


def _loss(row: Row) -> str:
    return f"{points(row['loss'])} {span(row['loss_low'], row['loss_high'])}"


def not_finite(curves: Rows, perplexity: Rows) -> list[str]:
    """A sentence on scores that are not finite numbers; none where all are."""
    lost = [r for r in (*curves, *perplexity) if r["nonfinite"] and r["task"] != REASONING]
    if not lost:
        return []
    conditions = list(dict.fromkeys(f"{r['method']} at {r['level']} on {r['model']}" for r in lost))
    more = f" and {len(conditions) - 3} other conditions" if len(conditions) > 3 else ""
    return [
        f"Scores that are not finite numbers, which count as wrong and give no nats: those of "
        f"{count(sum(row['nonfinite'] for row in lost))} items, every seed counted, by "
        f"{', '.join(conditions[:3])}{more}."
    ]
