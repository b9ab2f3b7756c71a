"""Prose from a small grammar, for perplexity: sentences about people, animals and things.

    the old miller sees three grey geese near the river . he feeds them . ...

Number, gender and tense agree within a story, and a pronoun goes with the nearest subject, so there
is something to lose besides word frequencies. The order of a story's sentences does not count for
its structure.
"""

import random

from pipeline.reference.items import Family, Item

PEOPLE = {
    "he": ("miller", "king", "baker", "uncle", "boy", "monk"),
    "she": ("queen", "widow", "nurse", "aunt", "girl", "witch"),
}
#: One animal or thing, and several.
THINGS = (
    ("goose", "geese"), ("horse", "horses"), ("lamb", "lambs"), ("fox", "foxes"),
    ("apple", "apples"), ("lamp", "lamps"), ("basket", "baskets"), ("letter", "letters"),
    ("boat", "boats"), ("coin", "coins"),
)  # fmt: skip
#: Present and past.
VERBS = (
    ("sees", "saw"), ("finds", "found"), ("sells", "sold"), ("hides", "hid"),
    ("carries", "carried"), ("loses", "lost"), ("wants", "wanted"), ("brings", "brought"),
)  # fmt: skip
ABOUT_PEOPLE = ("old", "young", "kind", "proud", "tired", "clever")
ABOUT_THINGS = ("grey", "small", "heavy", "golden", "broken", "lost")
NUMBERS = ("two", "three", "four", "many")
PLACES = ("river", "mill", "market", "forest", "bridge", "tower", "garden", "road")
RELATIONS = ("near", "behind", "in", "under")


def draw(rng: random.Random, sentences: int) -> Item:
    """A story of `sentences` sentences in one tense, each with another one that refers to it."""
    tense = rng.randrange(2)
    story = [_sentence(rng, tense) for _ in range(sentences)]
    return Item("prose", "", " ".join(story), 0, f"prose {sorted(story)}")


def _sentence(rng: random.Random, tense: int) -> str:
    """One sentence about somebody, and one that goes on with pronouns."""
    pronoun = rng.choice(sorted(PEOPLE))
    subject = rng.choice(PEOPLE[pronoun])
    article, about = rng.choice(("the", "this")), rng.choice((*ABOUT_PEOPLE, ""))
    several = rng.random() < 0.5
    thing = rng.choice(THINGS)[several]
    count, kind = (rng.choice(NUMBERS) if several else rng.choice(("the", "one"))), ""
    if rng.random() < 0.5:
        kind = rng.choice(ABOUT_THINGS)
    place = f"{rng.choice(RELATIONS)} the {rng.choice(PLACES)}" if rng.random() < 0.6 else ""
    verb, second = (pair[tense] for pair in rng.sample(VERBS, 2))
    them = "them" if several else "it"
    ending = rng.choice(("again", f"at {rng.choice(('night', 'dawn', 'noon'))}", _reason))
    if callable(ending):
        ending = ending(rng, pronoun, tense)
    words = [article, about, subject, verb, count, kind, thing, place, "."]
    words += [pronoun, second, them, ending, "."]
    return " ".join(word for word in words if word)


def _reason(rng: random.Random, pronoun: str, tense: int) -> str:
    return f"because {pronoun} {('is', 'was')[tense]} {rng.choice(ABOUT_PEOPLE)}"


PROSE = Family("prose", range(2, 4), draw, reasoning=False)
