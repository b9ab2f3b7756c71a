"""Ordering: put different letters into alphabetical order.

    sort q d m b =   ->   # b d m q

A step is one letter put in its place; the answer is its own working. The order in which letters are
given does not count for the structure.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import LETTERS


def draw(rng: random.Random, count: int) -> Item:
    """A set of `count` letters."""
    given = rng.sample(LETTERS, count)
    ordered = " ".join(sorted(given))
    return Item("sorting", f"sort {' '.join(given)} =", f"# {ordered}", count, f"sort {ordered}")


SORTING = Family("sorting", range(3, 11), draw)
