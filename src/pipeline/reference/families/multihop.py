"""Multi-hop lookup: follow links from a start to the end of its path, among shuffled links.

    hop c d , x y , a b , b c ; a ?   ->   a b c d # d

A step is one link followed. Every question also holds one or two links that lead nowhere. The two
ends of a link stand side by side: with a sign between them models of this size did not learn it.
The order of the links does not count for the structure.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import LETTERS


def draw(rng: random.Random, hops: int) -> Item:
    """A path of `hops` links and one or two links aside."""
    aside = rng.randint(1, 2)
    names = rng.sample(LETTERS, hops + 1 + 2 * aside)
    path, rest = names[: hops + 1], names[hops + 1 :]
    links = list(zip(path, path[1:], strict=False)) + list(zip(rest[::2], rest[1::2], strict=True))
    rng.shuffle(links)
    given = " , ".join(f"{a} {b}" for a, b in links)
    return Item(
        family="multihop",
        prompt=f"hop {given} ; {path[0]} ?",
        answer=f"{' '.join(path)} # {path[-1]}",
        steps=hops,
        structure=f"hop {sorted(links)} {path[0]}",
    )


MULTIHOP = Family("multihop", range(2, 8), draw)
