"""The finding in sentences, worded by what the figures say."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import factorial, prod
from typing import Any

from pipeline.analysis.removals import LAYER, MODEL, Order, Orders
from pipeline.numbers import count, number, p_value, percent, points, span
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]
#: Share of a random draw that the coldest also take, above which the two can't be told apart.
MOSTLY_SHARED = 0.8


def sentences(
    models: Rows,
    curves: Rows,
    perplexity: Rows,
    contrasts: Rows,
    decomposition: Rows,
    correlations: Rows,
    removals: Rows,
    orders: Orders,
    level: str,
    confidence: float,
) -> list[str]:
    """Whether coldness matters to reasoning, beside random neurons of the same layers, and which
    part of it; the same where the whole model is ranked; what it does to controls and texts; what
    the whole cold and hot set cost; whether activity goes with the loss.

    Figures are points of accuracy, mean of the reasoning tasks, shares of what the dense model
    scores above chance, or nats a token of texts, with their intervals in brackets. A model that is
    not clear of chance before pruning is told as such, since it has nothing to lose.
    """
    told = _Told(curves, contrasts, decomposition, orders, level)
    able = [model for model in models if told.clear_of_chance(model["model"])]
    unable = [model["model"] for model in models if model not in able]
    if not told.dense:
        return [
            "No task of this study has right or wrong answers that need reasoning, so nothing can "
            "be said of reasoning.",
            "The tables tell what was measured on its other tasks.",
        ]
    if not able:
        return [
            "No model of this study is clear of chance on the reasoning tasks before pruning, so "
            "nothing can be said of what pruning costs.",
            *_texts(perplexity, told),
            "The table of the dense models shows their accuracies beside chance.",
        ]
    names = [model["model"] for model in able]
    found = [
        _coldness(names, told, confidence),
        _parts(names, told, removals),
        _of_the_model(names, told, removals),
        _controls(names, curves, told),
        *_texts(perplexity, told),
        _sets(names, told),
        *_prediction(correlations, confidence),
    ]
    if unable:
        found.append(f"Not clear of chance before pruning, and left out: {', '.join(unable)}.")
    return [sentence for sentence in found if sentence]


class _Told:
    """Rows of the mean of the reasoning tasks by model, method and level, and of comparisons."""

    def __init__(
        self, curves: Rows, contrasts: Rows, decomposition: Rows, orders: Orders, level: str
    ) -> None:
        pooled = [row for row in curves if row["task"] == REASONING]
        self._rows = {(row["model"], row["method"], row["level"]): row for row in pooled}
        self.dense = {row["model"]: row for row in pooled if row["method"] == DENSE}
        self.contrasts, self.decomposition = contrasts, decomposition
        self.orders, self.level = orders, level
        self.share = f"{100 * float(level):g}%"

    def clear_of_chance(self, model: str) -> bool:
        """True when the dense model's interval lies above chance."""
        return model in self.dense and self.dense[model]["corrected_loss"] is not None

    def at(self, model: str, named: Iterable[Order], level: str) -> Row | None:
        """The row of the first of these orders that the model has at a level."""
        keys = ((model, order.method, level) for order in named)
        return next((self._rows[key] for key in keys if key in self._rows), None)

    def contrast(self, model: str, first: Order, seconds: Sequence[Order]) -> Row | None:
        """The comparison at the reference level with the first of `seconds` that there is."""
        for order in seconds:
            wanted = ((first.method, self.level), (order.method, self.level))
            for row in self.contrasts:
                sides = tuple((row[s]["method"], row[s]["level"]) for s in ("first", "second"))
                if row["model"] == model and sides == wanted:
                    return row
        return None


_COLDNESS = {
    "less": "To reasoning, cold neurons matter less than random ones of the same layers",
    "more": "To reasoning, cold neurons matter more than random ones of the same layers",
    "none": "To reasoning, cold neurons do not clearly matter less than random ones of the same "
    "layers",
}
_WHOLE_SET = {
    "more": "The cold set as a whole cannot be spared",
    "less": "The model gains by the loss of its cold set",
    "none": "The whole cold set costs nothing that is clear of zero",
}


def _coldness(models: Sequence[str], told: _Told, confidence: float) -> str:
    coldest = told.orders.coldest(LAYER)
    matched = told.orders.matched(coldest) if coldest else []
    parts, directions, seeds = [], set(), set()
    for model in models:
        row = told.contrast(model, coldest, matched) if coldest else None
        own = told.at(model, [coldest], told.level) if coldest else None
        random = told.at(model, matched, told.level)
        if row and own and random:
            parts.append(f"{_loss(own)} on {model}, {_more_or_less(row)}")
            directions.add(_direction(row["low"], row["high"]))
            seeds.add(random["seeds"])
    if not parts:
        return (
            "This study compares no level of the coldest neurons of every layer with as many drawn "
            "at random."
        )
    mixed = "Cold neurons do not differ from random ones of the same layers alike on all models"
    verdict = _COLDNESS.get("".join(directions), mixed)
    if min(seeds) == 1:
        verdict = "Against one random draw, which says little of others"
    return (
        f"{verdict}: removing the coldest {told.share} of every layer costs "
        f"{' and '.join(parts)} than as many drawn at random (points of reasoning accuracy, paired "
        f"{percent(confidence, 0)} intervals, {_draws(seeds)})."
    )


def _draws(seeds: Collection[int]) -> str:
    """How many draws the models' random controls have."""
    if set(seeds) == {1}:
        return "one draw"
    low, high = min(seeds), max(seeds)
    return f"{high} draws" if low == high else f"{low} to {high} draws"


def _parts(models: Sequence[str], told: _Told, removals: Rows) -> str:
    """Not being hot against the order of coldness, by layer."""
    parts = []
    for model in models:
        rows = {
            row["part"]: row
            for row in told.decomposition
            if (row["model"], row["scope"]) == (model, LAYER)
        }
        hot, order = rows.get("not hot"), rows.get("order of coldness")
        if hot and order:
            parts.append(
                f"{_effect(hot)} by not being hot and {_effect(order)} by their order within the "
                f"cold set on {model}"
            )
    if not parts:
        return ""
    text = f"The coldest cost less than random neurons by these parts: {'; '.join(parts)}."
    if shared := _shared(models, told, removals, LAYER):
        text += f" {shared}"
    return text


def _shared(models: Sequence[str], told: _Told, removals: Rows, scope: str) -> str:
    """Where random cold neurons are mostly the coldest themselves, order can't be told."""
    high = []
    for model in models:
        drawn = [
            row["first"]
            for row in told.decomposition
            if (row["model"], row["scope"], row["part"]) == (model, scope, "order of coldness")
        ]
        shares = [
            row["shared_with_coldest"]
            for row in removals
            if row["model"] == model and row["method"] in drawn and row["level"] == told.level
        ]
        known = [share for share in shares if share is not None]
        if known and sum(known) / len(known) > MOSTLY_SHARED:
            high.append(model)
    if not high:
        return ""
    return (
        f"On {' and '.join(high)} the order cannot be told: more than "
        f"{percent(MOSTLY_SHARED, 0)} of the cold neurons drawn are the coldest themselves."
    )


def _of_the_model(models: Sequence[str], told: _Told, removals: Rows) -> str:
    coldest = told.orders.coldest(MODEL)
    if coldest is None:
        return ""
    parts = []
    for model in models:
        own = told.at(model, [coldest], told.level)
        row = told.contrast(model, coldest, told.orders.matched(coldest))
        if own:
            beside = f", {_more_or_less(row)} than as many random ones of each layer" if row else ""
            parts.append(f"{_loss(own)} on {model}{beside}")
    if not parts:
        return ""
    text = (
        f"Ranked over the whole model instead, which may empty layers, the coldest "
        f"{told.share} cost {' and '.join(parts)}."
    )
    if shared := _shared(models, told, removals, MODEL):
        text += f" {shared}"
    return text


def _controls(models: Sequence[str], curves: Rows, told: _Told) -> str:
    """What the coldest cost on tasks that need no reasoning and have right answers."""
    coldest = told.orders.coldest(LAYER)
    if coldest is None:
        return ""
    found: dict[str, list[str]] = {}
    for row in curves:
        own = (row["method"], row["level"]) == (coldest.method, told.level)
        if own and not row["reasoning"] and row["model"] in models:
            found.setdefault(row["task"], []).append(f"{_loss(row)} on {row['model']}")
    if not found:
        return ""
    parts = [f"{task} {' and '.join(losses)}" for task, losses in found.items()]
    return (
        f"Of tasks that need no reasoning, the coldest {told.share} of every layer cost "
        f"{'; '.join(parts)}."
    )


def _texts(perplexity: Rows, told: _Told) -> list[str]:
    """One sentence a task that scores texts, at the reference level."""
    coldest = told.orders.coldest(LAYER)
    if coldest is None:
        return []
    random = {order.method for order in told.orders.matched(coldest)}
    said = []
    rows = [row for row in perplexity if row["level"] == told.level]
    for task, reasoning in {row["task"]: row["reasoning"] for row in rows}.items():
        parts = []
        for model in dict.fromkeys(row["model"] for row in rows):
            here = [row for row in rows if (row["model"], row["task"]) == (model, task)]
            own = next((row for row in here if row["method"] == coldest.method), None)
            other = next((row for row in here if row["method"] in random), None)
            if own:
                beside = f" (as many at random {_nats(other)})" if other else ""
                parts.append(f"{_nats(own)} on {model}{beside}")
        if parts:
            kind = "" if reasoning else ", which needs no reasoning,"
            said.append(
                f"On {task}{kind} the coldest {told.share} of every layer cost, in nats a token, "
                f"{' and '.join(parts)}."
            )
    return said


def _nats(row: Row) -> str:
    if row["loss"] is None:
        return "no finite number"
    if row["loss_low"] is None:
        return number(row["loss"])
    return f"{number(row['loss'])} [{number(row['loss_low'])}, {number(row['loss_high'])}]"


def _sets(models: Sequence[str], told: _Told) -> str:
    cold, hot = (
        {
            model: row
            for model in models
            if (row := told.at(model, told.orders.named(sparsifier, LAYER), level))
            and row["corrected_loss"] is not None
        }
        for sparsifier, level in (("drop_cold", "cold"), ("keep_cold", "hot"))
    )
    parts = []
    if cold:
        found = {_direction(row["corrected_low"], row["corrected_high"]) for row in cold.values()}
        mixed = "The cold set as a whole is not spared alike by all models"
        verdict = _WHOLE_SET.get("".join(found), mixed)
        costs = [_set(row, told, "cold") for row in cold.values()]
        parts.append(f"{verdict}: removing it costs {' and '.join(costs)}")
    if hot:
        costs = [_set(row, told, "hot") for row in hot.values()]
        parts.append(f"removing the hot set costs {' and '.join(costs)}")
    if not parts:
        return (
            "This study holds no condition that removes a whole cold or hot set (levels `cold` and "
            "`hot`), so it cannot say what either costs."
        )
    text = "; ".join(parts)
    return (
        f"{text[0].upper()}{text[1:]}. (Shares of what the dense model scores above chance; at "
        "100% only chance is left.)"
    )


def _set(row: Row, told: _Told, which: str) -> str:
    size = percent(row["neuron_sparsity_imposed"], 0)
    order = next(o for o in told.orders.all if o.method == row["method"])
    # How many are cold or hot is a matter of the sets, unless a draw is matched to the order.
    drawn = [o for o in told.orders.matched(order) if o.match or o.same_sets(order)]
    random = told.at(row["model"], drawn, which)
    beside = ""
    if random and random["corrected_loss"] is not None:
        beside = f"; as many at random {_above_chance(random)}"
    return f"{_above_chance(row)} on {row['model']} ({size} of its neurons{beside})"


def _above_chance(row: Row) -> str:
    ends = (row["corrected_loss"], row["corrected_low"], row["corrected_high"])
    loss, low, high = (percent(value, 0) for value in ends)
    return f"{loss} [{low}, {high}]"


_TREND = {True: "rises with", False: "falls with"}
#: Level of the units -> measure, how the removal and the measure are named.
_PREDICTED = {
    "neuron": ("activity", "a tenth of every layer's neurons at a time", "how active the tenth is"),
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


def _prediction(correlations: Rows, confidence: float) -> list[str]:
    """One sentence a kind of removal that activity may predict; none without.

    Of several methods that remove one part at a time the first is told.
    """
    found = []
    for level, (measure, removed, against) in _PREDICTED.items():
        rows = [r for r in correlations if (r["level"], r["measure"]) == (level, measure)]
        rows = [r for r in rows if r["method"] == rows[0]["method"] and r["spearman"] is not None]
        own = [row for row in rows if row["model"] is not None]
        if own:
            whole = next((row for row in rows if row["model"] is None), own[0])
            found.append(f"Removing {removed}, {_trend(whole, own, against, 1 - confidence)}.")
    return found


def _trend(whole: Row, own: Rows, against: str, error: float) -> str:
    # Rising and falling order are the two most extreme of all orders within the models.
    if whole["strata"] is None and 2 / prod(factorial(row["units"]) for row in own) > error:
        few = f"{whole['units']} are too few"
        return f"{few} to tell whether the loss goes with {against}"
    each = ", ".join(f"{number(row['spearman'])} on {row['model']}" for row in own)
    rank = f"rank correlation {each}; p {_is(whole['p'])}, {whole['units']} removals"
    if whole["p"] > error:
        signs = {row["spearman"] > 0 for row in own}
        apart = "; the models disagree in its sign" if len(signs) > 1 else ""
        return f"the loss does not clearly go with {against} ({rank}{apart})"
    return f"the loss {_TREND[whole['spearman'] > 0]} {against} ({rank})"


def _is(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _more_or_less(row: Row) -> str:
    """A difference with its interval, told the way round in which it is positive."""
    if row["estimate"] < 0:
        text = f"{points(-row['estimate'])} {span(-row['high'], -row['low'])} less"
    else:
        text = f"{points(row['estimate'])} {span(row['low'], row['high'])} more"
    clear = _direction(row["low"], row["high"]) != "none"
    return text if clear else f"{text} (not clear of zero)"


def _direction(low: float, high: float) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if high < 0 else "more" if low > 0 else "none"


def _effect(row: Row) -> str:
    return f"{points(row['estimate'])} {span(row['low'], row['high'])}"


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
