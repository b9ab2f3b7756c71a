"""What the whole cold and the whole hot set cost."""

from collections.abc import Callable, Sequence

from pipeline.config.orders import LAYER
from pipeline.config.roles import COLDEST, HOTTEST
from pipeline.report.finding.facts import Facts, Row, direction
from pipeline.report.numbers import percent

Ends = tuple[str, str, str]

_WHOLE_SET = {
    "more": "The cold set as a whole cannot be spared",
    "less": "The model gains by the loss of its cold set",
    "none": "The whole cold set costs nothing that is clear of zero",
}


#: Columns of a share of what lies above chance, and of a loss, with the ends of their intervals.
_CORRECTED = ("corrected_loss", "corrected_low", "corrected_high")
_LOSS = ("loss", "loss_low", "loss_high")
NO_SETS = (
    "This study holds no condition that removes a whole cold or hot set (levels `cold` and `hot`), "
    "so it cannot say what either costs."
)


def whole_sets(models: Sequence[str], facts: Facts) -> str:
    """In shares of what the dense model scores above chance."""
    text = _sets(models, facts, _CORRECTED, lambda share: percent(share, 0))
    if not text:
        return NO_SETS
    return (
        f"{text}. (Shares of what the dense model scores above chance; at 100% only chance is "
        "left.)"
    )


def whole_sets_of_text(models: Sequence[str], facts: Facts) -> str:
    """In nats a token; empty where the study removes no whole set."""
    text = _sets(models, facts, _LOSS, facts.scale.write)
    return f"{text}, in {facts.scale.unit}." if text else ""


def _sets(models: Sequence[str], facts: Facts, ends: Ends, write: Callable[[float], str]) -> str:
    cold, hot = (
        [
            row
            for model in models
            if (row := facts.at(model, facts.orders.named(order, LAYER), level))
            and _known(row, ends)
        ]
        for order, level in ((COLDEST, "cold"), (HOTTEST, "hot"))
    )
    parts = []
    if cold:
        directions = {direction(row[ends[1]], row[ends[2]]) for row in cold}
        mixed = "The cold set as a whole is not spared alike by all models"
        verdict = _WHOLE_SET.get("".join(directions), mixed)
        costs = [_set(row, facts, "cold", ends, write) for row in cold]
        parts.append(f"{verdict}: removing it costs {' and '.join(costs)}")
    if hot:
        costs = [_set(row, facts, "hot", ends, write) for row in hot]
        parts.append(f"removing the hot set costs {' and '.join(costs)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}"


def _set(row: Row, facts: Facts, which: str, ends: Ends, write: Callable[[float], str]) -> str:
    size = percent(row["neuron_sparsity_imposed"], 0)
    order = next(o for o in facts.orders.all if o.method == row["method"])
    # How many are cold or hot is a matter of the sets, unless a draw is matched to the order.
    drawn = [o for o in facts.orders.matched(order) if o.match or o.same_sets(order)]
    random = facts.at(row["model"], drawn, which)
    beside = ""
    if random and _known(random, ends):
        beside = f"; as many at random {_cost(random, ends, write)}"
    return f"{_cost(row, ends, write)} on {row['model']} ({size} of its neurons{beside})"


def _known(row: Row, ends: Ends) -> bool:
    return all(row[end] is not None for end in ends)


def _cost(row: Row, ends: Ends, write: Callable[[float], str]) -> str:
    loss, low, high = (write(row[end]) for end in ends)
    return f"{loss} [{low}, {high}]"
