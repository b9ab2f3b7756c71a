"""How the methods of a study remove neurons, and the roles that they play in comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.roles import COLDEST, RANDOM, First

#: Scopes of a ranking, and what may be drawn.
LAYER, MODEL = "layer", "model"
ALL, COLD = "all", "cold"
#: Gone from the first token on.
START = "start"


@dataclass(frozen=True)
class Order:
    """How one method removes neurons: which go first (`order`, None where that is not told by how
    cold they are), whether each layer's neurons are ranked alone or all of the model together
    (`scope`), on which `corpus`, which method's number it `match`es in each layer, `among` which it
    draws, by which `classification` neurons are hot or cold, and from where in a sequence they are
    gone (`sparse_from`)."""

    method: str
    order: First | None
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

    def named(self, order: First, scope: str | None = None) -> list[Order]:
        """Those that take such neurons first, as the configuration lists them."""
        scopes = (LAYER, MODEL) if scope is None else (scope,)
        return [o for o in self.all if o.order == order and o.scope in scopes]

    def coldest(self, scope: str) -> Order | None:
        """The first that removes the coldest neurons."""
        return next(iter(self.named(COLDEST, scope)), None)

    def matched(self, order: Order, among: str = ALL) -> list[Order]:
        """Random orders that take as many of each layer as `order` does, for as much of a sequence;
        among the cold only those to which the same neurons are cold."""
        drawn = [
            o
            for o in self.named(RANDOM)
            if o.among == among
            and o.sparse_from == order.sparse_from
            and (among == ALL or o.same_sets(order))
        ]
        if order.scope == LAYER:
            return [o for o in drawn if o.scope == LAYER and o.match in (None, order.method)]
        return [o for o in drawn if o.match == order.method]

    def even(self, sparse_from: str | int = START) -> list[Order]:
        """Random orders that take the same share of every layer, of all neurons, from one place in
        a sequence on."""
        return [
            o
            for o in self.named(RANDOM, LAYER)
            if (o.among, o.match, o.sparse_from) == (ALL, None, sparse_from)
        ]
