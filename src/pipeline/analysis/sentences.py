"""The finding in two sentences, worded by what the figures say."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.analysis.arms import DENSE, REASONING
from pipeline.numbers import percent, points, span

Row = Mapping[str, Any]
Rows = Sequence[Row]


def sentences(
    models: Rows,
    curves: Rows,
    contrasts: Rows,
    sparsifiers: Mapping[str, str],
    confidence: float,
) -> list[str]:
    """Two sentences: what the cold and the hot set cost; whether coldness itself matters.

    Every figure is points of accuracy, mean of the reasoning tasks, with its interval in brackets.
    Of several methods with one sparsifier the first is told. A model that is not clear of chance
    before pruning is told as such, since it has nothing to lose.
    """
    rows = _Reasoning(curves, sparsifiers)
    able = [model for model in models if rows.clear_of_chance(model["model"])]
    unable = [model["model"] for model in models if model not in able]
    if not able:
        return [
            "No model of this study is clear of chance on the reasoning tasks before pruning, so "
            "nothing can be said of what pruning costs.",
            "Their accuracies stand beside chance below.",
        ]
    first = _sets(able, rows, confidence)
    if unable:
        first += f" Not clear of chance before pruning, and left out: {', '.join(unable)}."
    return [first, _coldness(able, rows, contrasts)]


_VERDICTS = {
    "less": "Cold neurons matter less than others do",
    "more": "Cold neurons matter more than others do",
    "none": "Cold neurons do not clearly matter less than others",
}


class _Reasoning:
    """Curve rows of the mean of the reasoning tasks, by model, sparsifier and level."""

    def __init__(self, curves: Rows, sparsifiers: Mapping[str, str]) -> None:
        self.methods: dict[str, str] = {}
        for method, sparsifier in sparsifiers.items():
            self.methods.setdefault(sparsifier, method)
        pooled = [row for row in curves if row["task"] == REASONING]
        self._rows = {(row["model"], row["method"], row["level"]): row for row in pooled}
        self._dense = {row["model"]: row for row in pooled if row["method"] == DENSE}

    def clear_of_chance(self, model: str) -> bool:
        """True when the dense model's interval lies above chance."""
        return model in self._dense and self._dense[model]["corrected_loss"] is not None

    def at(self, model: str, sparsifier: str, level: str) -> Row | None:
        """The row of a condition, or None."""
        return self._rows.get((model, self.methods.get(sparsifier, ""), level))


def _sets(models: Rows, rows: _Reasoning, confidence: float) -> str:
    parts = []
    for model in models:
        costs = [
            cost
            for which, sparsifier in (("cold", "drop_cold"), ("hot", "keep_cold"))
            if (cost := _set(rows, model["model"], which, sparsifier))
        ]
        if costs:
            active = percent(1 - model["natural_sparsity"], 0)
            rule = ", by CETT" if model["active_rule"] == "cett" else ""
            parts.append(
                f"on {model['model']} ({active} of the neurons active at a token{rule}) "
                + " and ".join(costs)
            )
    if not parts:
        return (
            "This study holds no condition that removes a whole cold or hot set (levels `cold` and "
            "`hot`), so it cannot say what either costs."
        )
    return (
        "Points of reasoning accuracy lost, with paired "
        f"{percent(confidence, 0)} intervals in brackets: {'; '.join(parts)}."
    )


def _set(rows: _Reasoning, model: str, which: str, sparsifier: str) -> str | None:
    row = rows.at(model, sparsifier, which)
    if row is None:
        return None
    size = percent(row["neuron_sparsity_imposed"], 0)
    text = f"the {which} set ({size} of them) costs {_loss(row)}"
    random = rows.at(model, "drop_random", which)
    return text + (f", {_drawn(random)} {_loss(random)}" if random else "")


def _coldness(models: Rows, rows: _Reasoning, contrasts: Rows) -> str:
    parts, directions, level = [], set(), ""
    for model in models:
        for row in contrasts:
            if row["model"] == model["model"] and _is_coldness(row, rows):
                level = row["first"]["level"]
                own = rows.at(row["model"], "drop_cold", level)
                random = rows.at(row["model"], "drop_random", level)
                if own and random:
                    cost = f"{_loss(own)} on {row['model']}, {_difference(row)}"
                    parts.append(f"{cost} {_drawn(random)}")
                    directions.add(_direction(row))
    if not parts:
        return "This study compares no level of cold neurons with as many drawn at random."
    share = percent(float(level), 0)
    verdict = _VERDICTS.get("".join(directions), "Whether coldness matters depends on the model")
    return f"{verdict}: at {share} of them, the coldest cost {'; '.join(parts)}."


def _is_coldness(contrast: Row, rows: _Reasoning) -> bool:
    """True for the coldest against random ones at one level that is a share."""
    first, second = contrast["first"], contrast["second"]
    methods = (rows.methods.get("drop_cold"), rows.methods.get("drop_random"))
    same = first["level"] == second["level"] and first["level"] not in ("cold", "hot")
    return (first["method"], second["method"]) == methods and same


def _drawn(random: Row) -> str:
    draws = "one draw" if random["seeds"] == 1 else f"{random['seeds']} draws"
    return f"as many at random ({draws})"


def _difference(row: Row) -> str:
    plain = f"{points(row['estimate'])} {span(row['low'], row['high'])}"
    turned = f"{points(-row['estimate'])} {span(-row['high'], -row['low'])}"
    direction = _direction(row)
    if direction == "none":
        return f"{plain} more and so not clearly apart from"
    return f"{turned} less than" if direction == "less" else f"{plain} more than"


def _direction(row: Row) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if row["high"] < 0 else "more" if row["low"] > 0 else "none"


def _loss(row: Row) -> str:
    return f"{points(row['loss'])} {span(row['loss_low'], row['loss_high'])}"
