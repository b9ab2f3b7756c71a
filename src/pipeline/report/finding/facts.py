"""What the sentences of the finding are told from, and how they put differences in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.config.orders import Order, Orders
from pipeline.report.numbers import points, span
from pipeline.tables.curves import DENSE, REASONING

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Facts:
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


def turned(row: Row) -> Row:
    """A comparison the other way round."""
    return {"estimate": -row["estimate"], "low": -row["high"], "high": -row["low"]}


def more_or_less(row: Row) -> str:
    """A difference with its interval, told the way round in which it is positive."""
    if row["estimate"] < 0:
        text = f"{points(-row['estimate'])} {span(-row['high'], -row['low'])} less"
    else:
        text = f"{points(row['estimate'])} {span(row['low'], row['high'])} more"
    clear = direction(row["low"], row["high"]) != "none"
    return text if clear else f"{text} (not clear of zero)"


def direction(low: float, high: float) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if high < 0 else "more" if low > 0 else "none"


def effect_in_points(row: Row) -> str:
    """A difference of accuracies with its interval."""
    return f"{points(row['estimate'])} {span(row['low'], row['high'])}"


def loss_in_points(row: Row) -> str:
    """What a condition lost, with its interval."""
    return f"{points(row['loss'])} {span(row['loss_low'], row['loss_high'])}"
