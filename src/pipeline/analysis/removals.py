"""Removals of neurons for good, draw by draw: what each took of the model, and what it cost.

Rows of tables.removals, and the roles that orders of removal have in comparisons.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.analysis.arms import Arm
from pipeline.analysis.curves import Losses
from pipeline.tables.curves import REASONING

Rows = list[dict[str, Any]]
#: Scopes of a ranking, and what may be drawn.
LAYER, MODEL = "layer", "model"
ALL, COLD = "all", "cold"
#: Gone from the first token on.
START = "start"


@dataclass(frozen=True)
class Order:
    """How one method removes neurons: its `sparsifier`, whether each layer's neurons are ranked
    alone or all of the model together (`scope`), on which `corpus`, which method's number it
    `match`es in each layer, `among` which it draws, by which `classification` neurons are hot or
    cold, and from where in a sequence they are gone (`sparse_from`)."""

    method: str
    sparsifier: str
    scope: str
    corpus: str
    match: str | None = None
    among: str = ALL
    classification: str | None = None
    sparse_from: str | int = START

    def same_sets(self, other: "Order") -> bool:
        """True where the same neurons are hot and cold to both."""
        return (self.corpus, self.classification) == (other.corpus, other.classification)


class Orders:
    """The orders of a study by the role they play."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.all = list(orders)

    def named(self, sparsifier: str, scope: str | None = None) -> list[Order]:
        """Orders of a sparsifier, in the order of the configuration."""
        scopes = (LAYER, MODEL) if scope is None else (scope,)
        return [o for o in self.all if o.sparsifier == sparsifier and o.scope in scopes]

    def coldest(self, scope: str) -> Order | None:
        """The first that removes the coldest neurons."""
        return next(iter(self.named("drop_cold", scope)), None)

    def matched(self, order: Order, among: str = ALL) -> list[Order]:
        """Random orders that take as many of each layer as `order` does, for as much of a sequence;
        among the cold only those to which the same neurons are cold."""
        drawn = [
            o
            for o in self.named("drop_random")
            if o.among == among
            and o.sparse_from == order.sparse_from
            and (among == ALL or o.same_sets(order))
        ]
        if order.scope == LAYER:
            return [o for o in drawn if o.scope == LAYER and o.match in (None, order.method)]
        return [o for o in drawn if o.match == order.method]


def rows_of(arms: Sequence[Arm], losses: Mapping[str, Losses]) -> tuple[Rows, Rows]:
    """(rows of REMOVALS, rows of REMOVED_BY_LAYER) of all arms that remove neurons for good."""
    removals: Rows = []
    layers: Rows = []
    for arm in (arm for arm in arms if arm.plans):
        own = losses.get(arm.model)
        members = own.members(REASONING, arm) if own else []
        costs = _losses(arm, own, members) if own and members else [(None, None)] * arm.seeds
        for plan, (loss, corrected) in zip(arm.plans, costs, strict=True):
            if plan["dropped_by_layer"] is None or plan["activity_removed"] is None:
                continue
            head = {"model": arm.model, "method": arm.method, "level": arm.level}
            head["seed"] = plan["seed"]
            removed = np.array(plan["dropped_by_layer"])
            width = plan["neurons"] // len(removed)
            row = {
                "removed": int(removed.sum()),
                "neurons": plan["neurons"],
                "least_of_a_layer": float(removed.min() / width),
                "most_of_a_layer": float(removed.max() / width),
                "loss": loss,
                "corrected_loss": corrected,
            }
            told = ("activity_removed", "contribution_removed", "shared_with_coldest")
            removals.append(head | row | {name: plan[name] for name in told})
            layers += [
                head | {"layer": layer, "removed": int(number), "neurons": width}
                for layer, number in enumerate(removed)
            ]
    return removals, layers


def _losses(arm: Arm, losses: Losses, members: Sequence[str]) -> list[tuple[float, float | None]]:
    """(accuracy lost on the tasks, the same corrected for chance) of every seed."""
    dense = float(np.mean([losses.dense.accuracy(task) for task in members]))
    room = losses.room(REASONING, arm)
    found = []
    for seed in range(arm.seeds):
        loss = dense - float(np.mean([arm.right[task][seed].mean() for task in members]))
        found.append((loss, None if room is None else loss / room))
    return found
