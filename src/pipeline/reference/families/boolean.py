"""A boolean expression evaluated from left to right, without precedence.

    bool T and F or T =      ->   T and F > F ; or T > T ; # T
    bool T and F or T = #    ->   T

A step is one operator. The second form asks for the answer without written steps.
"""

import random

from pipeline.reference.items import Family, Item

_OPERATIONS = {
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "xor": lambda a, b: a != b,
}


def _letter(value: bool) -> str:
    return "T" if value else "F"


def draw(rng: random.Random, operators: int) -> Item:
    """An expression of `operators` operators."""
    value = rng.random() < 0.5
    expression, clauses = [_letter(value)], [_letter(value)]
    for _ in range(operators):
        word, operand = rng.choice(sorted(_OPERATIONS)), rng.random() < 0.5
        value = _OPERATIONS[word](value, operand)
        expression.append(f"{word} {_letter(operand)}")
        clauses.append(f"{word} {_letter(operand)} > {_letter(value)} ;")
    question = f"bool {' '.join(expression)} ="
    answer = f"{' '.join(clauses)} # {_letter(value)}"
    return Item("boolean", question, answer, operators, question)


BOOLEAN = Family("boolean", range(3, 9), draw)
BOOLEAN_DIRECT = BOOLEAN.direct(range(2, 9))
