"""A chain of variables modulo 10, each defined from the one before.

    let a = 3 ; f = a + 4 ; c = f * 2 ; c ?      ->   a = 3 ; f = 7 ; c = 4 ; # 4
    let a = 3 ; f = a + 4 ; c = f * 2 ; c ? #    ->   4

A step is one operation; the first assignment is given. The second form asks for the answer without
written steps. Names do not count for the structure.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import LETTERS

_OPERATIONS = {
    "+": lambda a, b: (a + b) % 10,
    "-": lambda a, b: (a - b) % 10,
    "*": lambda a, b: (a * b) % 10,
}


def draw(rng: random.Random, operations: int) -> Item:
    """A chain of `operations` operations on single digits."""
    names = rng.sample(LETTERS, operations + 1)
    value = rng.randrange(10)
    given, worked, structure = [f"{names[0]} = {value} ;"], [f"{names[0]} = {value} ;"], str(value)
    for before, name in zip(names, names[1:], strict=False):
        symbol, operand = rng.choice(sorted(_OPERATIONS)), rng.randrange(1, 10)
        value = _OPERATIONS[symbol](value, operand)
        given.append(f"{name} = {before} {symbol} {operand} ;")
        worked.append(f"{name} = {value} ;")
        structure += f" {symbol} {operand}"
    return Item(
        family="chain",
        prompt=f"let {' '.join(given)} {names[-1]} ?",
        answer=f"{' '.join(worked)} # {value}",
        steps=operations,
        structure=f"let {structure}",
    )


CHAIN = Family("chain", range(2, 9), draw)
CHAIN_DIRECT = CHAIN.direct(range(1, 3))
