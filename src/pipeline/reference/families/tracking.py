"""Tracking of swapped objects: three holders, three objects, and who holds what after the swaps.

    track k 2 b 1 q 3 ; b k ; q b ; k ?   ->   b k > k 1 b 2 q 3 ; q b > k 1 b 3 q 2 ; # 1

A step is one swap: the two holders, then what each of the three holds. The order in which holders
are named, and which of them is asked for, do not count for the structure.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import LETTERS

_OBJECTS = ("1", "2", "3")


def draw(rng: random.Random, swaps: int) -> Item:
    """A story of `swaps` swaps."""
    holders = rng.sample(LETTERS, len(_OBJECTS))
    held = dict(zip(holders, rng.sample(_OBJECTS, len(_OBJECTS)), strict=True))
    start = sorted(held.items())
    given, pairs, clauses = _state(held), [], []
    for _ in range(swaps):
        one, other = rng.sample(holders, 2)
        held[one], held[other] = held[other], held[one]
        pairs.append(f"{one} {other}")
        clauses.append(f"{one} {other} > {_state(held)} ;")
    asked = rng.choice(holders)
    return Item(
        family="tracking",
        prompt=f"track {given} ; {' ; '.join(pairs)} ; {asked} ?",
        answer=f"{' '.join(clauses)} # {held[asked]}",
        steps=swaps,
        structure=f"track {start} {[sorted(pair.split()) for pair in pairs]}",
    )


def _state(held: dict[str, str]) -> str:
    return " ".join(f"{holder} {thing}" for holder, thing in held.items())


TRACKING = Family("tracking", range(1, 6), draw)
