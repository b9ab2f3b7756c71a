"""What the whole cold and the whole hot set cost."""

from collections.abc import Sequence

from pipeline.config.orders import LAYER
from pipeline.config.roles import COLDEST, HOTTEST
from pipeline.report.finding.facts import Facts, Row, direction
from pipeline.report.numbers import percent

_WHOLE_SET = {
    "more": "The cold set as a whole cannot be spared",
    "less": "The model gains by the loss of its cold set",
    "none": "The whole cold set costs nothing that is clear of zero",
}


def whole_sets(models: Sequence[str], facts: Facts) -> str:
    cold, hot = (
        {
            model: row
            for model in models
            if (row := facts.at(model, facts.orders.named(order, LAYER), level))
            and row["corrected_loss"] is not None
        }
        for order, level in ((COLDEST, "cold"), (HOTTEST, "hot"))
    )
    parts = []
    if cold:
        directions = {
            direction(row["corrected_low"], row["corrected_high"]) for row in cold.values()
        }
        mixed = "The cold set as a whole is not spared alike by all models"
        verdict = _WHOLE_SET.get("".join(directions), mixed)
        costs = [_set(row, facts, "cold") for row in cold.values()]
        parts.append(f"{verdict}: removing it costs {' and '.join(costs)}")
    if hot:
        costs = [_set(row, facts, "hot") for row in hot.values()]
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


def _set(row: Row, facts: Facts, which: str) -> str:
    size = percent(row["neuron_sparsity_imposed"], 0)
    order = next(o for o in facts.orders.all if o.method == row["method"])
    # How many are cold or hot is a matter of the sets, unless a draw is matched to the order.
    drawn = [o for o in facts.orders.matched(order) if o.match or o.same_sets(order)]
    random = facts.at(row["model"], drawn, which)
    beside = ""
    if random and random["corrected_loss"] is not None:
        beside = f"; as many at random {_above_chance(random)}"
    return f"{_above_chance(row)} on {row['model']} ({size} of its neurons{beside})"


def _above_chance(row: Row) -> str:
    ends = (row["corrected_loss"], row["corrected_low"], row["corrected_high"])
    loss, low, high = (percent(value, 0) for value in ends)
    return f"{loss} [{low}, {high}]"
