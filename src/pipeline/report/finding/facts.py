"""What the sentences of the finding are told from, and how they put differences in words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.orders import Order, Orders
from pipeline.report.numbers import number, points
from pipeline.tables.curves import DENSE

Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Scale:
    """What losses are told in: the words for what is damaged, the unit, and how one is written."""

    subject: str
    unit: str
    write: Callable[[float], str]

    def span(self, value: float, low: float | None, high: float | None) -> str:
        """A value with its interval, where it has one."""
        text = self.write(value)
        if low is None or high is None:
            return text
        return f"{text} [{self.write(low)}, {self.write(high)}]"

    def effect(self, row: Row) -> str:
        """A difference with its interval."""
        return self.span(row["estimate"], row["low"], row["high"])

    def loss(self, row: Row) -> str:
        """What a condition lost, with its interval."""
        if row["loss"] is None:
            return "no finite number"
        return self.span(row["loss"], row["loss_low"], row["loss_high"])

    def more_or_less(self, row: Row) -> str:
        """A difference with its interval, told the way round in which it is positive."""
        kind = "less" if row["estimate"] < 0 else "more"
        text = f"{self.effect(turned(row) if row['estimate'] < 0 else row)} {kind}"
        clear = direction(row["low"], row["high"]) != "none"
        return text if clear else f"{text} (not clear of zero)"


POINTS = Scale("To reasoning", "points of reasoning accuracy", points)


def nats(task: str) -> Scale:
    """The scale of a task that scores texts."""
    return Scale(f"On {task}", f"nats a token of {task}", number)


class Facts:
    """Rows of one task, the mean of the reasoning tasks or one that scores texts, by model, method
    and level, and the comparisons on it."""

    def __init__(
        self,
        rows: Rows,
        contrasts: Rows,
        decomposition: Rows,
        orders: Orders,
        level: str,
        scale: Scale = POINTS,
    ) -> None:
        self.rows = rows
        self._at = {(row["model"], row["method"], row["level"]): row for row in rows}
        self.dense = {row["model"]: row for row in rows if row["method"] == DENSE}
        self.contrasts, self.decomposition = contrasts, decomposition
        self.orders, self.level, self.scale = orders, level, scale
        self.share = f"{100 * float(level):g}%"

    def clear_of_chance(self, model: str) -> bool:
        """True when the dense model's interval lies above chance."""
        return model in self.dense and self.dense[model]["corrected_loss"] is not None

    def at(self, model: str, named: Iterable[Order], level: str) -> Row | None:
        """The row of the first of these orders that the model has at a level."""
        keys = ((model, order.method, level) for order in named)
        return next((self._at[key] for key in keys if key in self._at), None)

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


def direction(low: float, high: float) -> str:
    """`less` or `more` when the interval leaves out zero, else `none`."""
    return "less" if high < 0 else "more" if low > 0 else "none"
