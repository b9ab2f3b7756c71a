"""Addition of two numbers of equal length, column by column from the right, carries written out.

    add 4 7 2 + 3 8 5 =   ->   2 5 0 > 7 0 ; 7 8 0 > 5 1 ; 4 3 1 > 8 0 ; # 8 5 7

A step is one column: both digits and the carry in, then the digit and the carry out. Both orders of
the two numbers are one structure.
"""

import random

from pipeline.reference.items import Family, Item


def draw(rng: random.Random, columns: int) -> Item:
    """An addition of two numbers of `columns` digits; leading zeros are allowed."""
    left = [rng.randrange(10) for _ in range(columns)]
    right = [rng.randrange(10) for _ in range(columns)]
    carry, clauses, digits = 0, [], []
    for a, b in zip(reversed(left), reversed(right), strict=True):
        total = a + b + carry
        clauses.append(f"{a} {b} {carry} > {total % 10} {total // 10} ;")
        digits.append(total % 10)
        carry = total // 10
    result = ([carry] if carry else []) + digits[::-1]
    return Item(
        family="addition",
        prompt=f"add {' '.join(map(str, left))} + {' '.join(map(str, right))} =",
        answer=f"{' '.join(clauses)} # {' '.join(map(str, result))}",
        steps=columns,
        structure=f"add {sorted((left, right))}",
    )


ADDITION = Family("addition", range(2, 6), draw)
