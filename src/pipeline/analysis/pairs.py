"""Which arms the finding compares with which, whatever a loss is measured in."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

from pipeline.analysis.arms import Arm
from pipeline.config.level import COLD as COLD_SET
from pipeline.config.level import HOT as HOT_SET
from pipeline.config.orders import ALL, COLD, LAYER, MODEL, Order, Orders
from pipeline.config.roles import COLDEST, HOTTEST, RANDOM

#: What a difference between random neurons and the coldest is made of.
LAYERS, HOTNESS, ORDER = "layers", "not hot", "order of coldness"

#: A method and its level.
Key = tuple[str, str]


def pairs(orders: Orders, level: str) -> list[tuple[Key, Key]]:
    """Methods and levels to set against one another, whether they were evaluated or not.

    At the reference level, the coldest neurons, ranked by layer and over the model, are set against
    their matched random draws among all and among the cold neurons, against the methods that remove
    the coldest and come later in the configuration, and, when ranked by layer, against every other
    order that takes as many of each layer. All cold neurons are set against all hot ones.
    """
    found: list[tuple[Key, Key]] = []
    for coldest in orders.named(COLDEST):
        drawn = [o for among in (ALL, COLD) for o in orders.matched(coldest, among)]
        others = [
            o
            for o in orders.all
            if o.scope == coldest.scope == LAYER and o.order not in (RANDOM, COLDEST)
        ]
        later = [
            o for o in orders.named(COLDEST) if orders.all.index(o) > orders.all.index(coldest)
        ]
        named = [o.method for o in (*drawn, *others, *later)]
        found += [((coldest.method, level), (name, level)) for name in named]
        hottest = orders.named(HOTTEST, coldest.scope)
        found += [((coldest.method, COLD_SET.text), (o.method, HOT_SET.text)) for o in hottest]
    return found


def parts(orders: Orders, arms: Mapping[str, Arm]) -> Iterator[tuple[str, str, Arm, Arm]]:
    """(scope, part, first, second) for every part of the difference between as many random neurons
    and the coldest, as far as `arms`, one model's at one level by method, has both sides.

    Ranked by layer: random neurons of every layer minus random cold ones (the part from not being
    hot), and these minus the coldest (the part from their order). Ranked over the model: first,
    random neurons of every layer minus random ones that take as many of each layer as the coldest
    of the model do (the part from which layers are cut), then the same two.
    """

    def chosen(named: Sequence[Order]) -> Arm | None:
        return next((arms[o.method] for o in named if o.method in arms), None)

    for scope in (LAYER, MODEL):
        coldest = orders.coldest(scope)
        if coldest is None:
            continue
        even = orders.even(coldest.sparse_from) if scope == MODEL else []
        steps: list[tuple[str, Arm | None]] = [
            (LAYERS, chosen(even)),
            (HOTNESS, chosen(orders.matched(coldest))),
            (ORDER, chosen(orders.matched(coldest, COLD))),
            ("", chosen([coldest])),
        ]
        for (part, first), (_, second) in itertools.pairwise(steps):
            if first and second:
                yield scope, part, first, second
