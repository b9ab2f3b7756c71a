"""Control: recite verses known by heart, as many tokens as a reasoning answer has.

    recite q b =   ->   # q 7 d k 2 0 b m 4 w c 9

Every letter has one verse of six tokens, itself and five that are fixed for good. Nothing has to be
worked out and nothing but the letters is looked up, so what is lost here is lost to length alone.
"""

import random

from pipeline.reference.items import Family, Item
from pipeline.reference.vocabulary import DIGITS, LETTERS

_VERSE_SEED, _REST = 7, 5


def _verses() -> dict[str, str]:
    rng = random.Random(_VERSE_SEED)
    return {name: " ".join([name, *rng.choices(LETTERS + DIGITS, k=_REST)]) for name in LETTERS}


VERSES = _verses()


def draw(rng: random.Random, verses: int) -> Item:
    """The verses of `verses` letters, drawn with replacement, one after the other."""
    names = rng.choices(LETTERS, k=verses)
    question = f"recite {' '.join(names)} ="
    return Item("reciting", question, f"# {' '.join(VERSES[n] for n in names)}", 0, question)


RECITING = Family("reciting", range(2, 9), draw, reasoning=False)
