"""How the methods of a study remove neurons, and the roles that they play in comparisons."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config.roles import COLDEST, RANDOM, First

#: Scopes of a ranking, and the sets that a random draw may be among.
LAYER, MODEL = "layer", "model"
ALL, COLD = "all", "cold"
#: The value of `sparse_from` for neurons that are gone from the first token on.
START = "start"


@dataclass(frozen=True)
class Order:
    """How one method removes neurons: which go first (`order`, None where coldness does not
    decide), whether neurons are ranked within each layer or over the whole model (`scope`), on
    which `corpus`, the method whose numbers of neurons per layer it takes (`match`), the set that
    it draws from (`among`), the `classification` that says which neurons are hot or cold, and from
    where in a sequence the neurons are gone (`sparse_from`)."""

    method: str
    order: First | None
    scope: str
    corpus: str
    match: str | None = None
    among: str = ALL
    classification: str | None = None
    sparse_from: str | int = START

    def same_sets(self, other: "Order") -> bool:
        """True where both go by the same hot and cold sets."""
        return (self.corpus, self.classification) == (other.corpus, other.classification)


class Orders:
    """The orders of a study by the role they play."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.all = list(orders)

    def named(self, order: First, scope: str | None = None) -> list[Order]:
        """The orders that take these neurons first, as the configuration lists them; of one scope,
        or of either."""
        scopes = (LAYER, MODEL) if scope is None else (scope,)
        return [o for o in self.all if o.order == order and o.scope in scopes]

    def coldest(self, scope: str) -> Order | None:
        """The first order in this scope that removes the coldest neurons first, or None."""
        return next(iter(self.named(COLDEST, scope)), None)

    def matched(self, order: Order, among: str = ALL) -> list[Order]:
        """Random orders that take as many neurons of each layer as `order` does, from the same
        token on; of draws among the cold neurons only those with the same cold set."""
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
        """Random orders that draw among all neurons, take the same share of every layer, and remove
        from `sparse_from` on."""
        return [
            o
            for o in self.named(RANDOM, LAYER)
            if (o.among, o.match, o.sparse_from) == (ALL, None, sparse_from)
        ]
