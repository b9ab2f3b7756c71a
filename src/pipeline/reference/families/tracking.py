"""Tracking of swapped objects: three holders, three objects, and who holds what after the swaps.

    track k y b x q z ; b k ; q b ; k ?   ->   b x k y > b y k x ; q z b y > q y b z ; k x # x

A step is one swap: what the two hold before and after it. The order in which holders are named, and
which of them is asked for, do not count for the structure. Models of this size did not learn it in
the same time when the state of all three was written after each swap, when objects were digits, or
when the answer did not name the holder again.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import LETTERS

_OBJECTS = ("x", "y", "z")
_HOLDERS = tuple(letter for letter in LETTERS if letter not in _OBJECTS)


def draw(rng: random.Random, swaps: int) -> Item:
    """A story of `swaps` swaps."""
    holders = rng.sample(_HOLDERS, len(_OBJECTS))
    held = dict(zip(holders, rng.sample(_OBJECTS, len(_OBJECTS)), strict=True))
    start = sorted(held.items())
    given, pairs, clauses = _state(held, holders), [], []
    for _ in range(swaps):
        pair = rng.sample(holders, 2)
        before = _state(held, pair)
        held[pair[0]], held[pair[1]] = held[pair[1]], held[pair[0]]
        pairs.append(pair)
        clauses.append(f"{before} > {_state(held, pair)} ;")
    asked = rng.choice(holders)
    return Item(
        family="tracking",
        prompt=f"track {given} ; {' ; '.join(map(' '.join, pairs))} ; {asked} ?",
        answer=f"{' '.join(clauses)} {asked} {held[asked]} # {held[asked]}",
        steps=swaps,
        structure=f"track {start} {[sorted(pair) for pair in pairs]}",
    )


def _state(held: dict[str, str], holders: list[str]) -> str:
    return " ".join(f"{holder} {held[holder]}" for holder in holders)


TRACKING = Family("tracking", range(1, 6), draw)
