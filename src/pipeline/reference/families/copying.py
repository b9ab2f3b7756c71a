"""Control: repeat a sequence that stands in the question.

copy q 4 b 9 =   ->   # q 4 b 9
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import DIGITS, LETTERS


def draw(rng: random.Random, length: int) -> Item:
    """A sequence of `length` letters and digits, drawn with replacement."""
    sequence = " ".join(rng.choices(LETTERS + DIGITS, k=length))
    question = f"copy {sequence} ="
    return Item("copying", question, f"# {sequence}", 0, question)


COPYING = Family("copying", range(4, 25), draw, reasoning=False)
