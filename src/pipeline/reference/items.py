"""Items of the built-in tasks, and the split that keeps training and evaluation apart.

The split is a property of a question's structure, which leaves out what each family says does not
matter to the answer: the order of links, of letters or of two addends, the names in a chain, and
whether steps are written. A structure whose digest falls into the held-out twentieth is never
trained or calibrated on, in any form and whatever the seed, the family or the amount of data.
"""

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HELD_OUT_EVERY = 20
#: Stands before the part of an answer that is scored.
MARK = "#"


@dataclass(frozen=True)
class Item:
    """One question. `steps` is the number of reasoning steps its answer needs; 0 for a control.

    Items of one `structure` ask the same thing in other words. `prompt` is empty for prose.
    """

    family: str
    prompt: str
    answer: str
    steps: int
    structure: str

    @property
    def target(self) -> str:
        """What follows the answer mark, the part that is scored."""
        return self.answer.rpartition(f"{MARK} ")[2]


@dataclass(frozen=True)
class Family:
    """A generator of items with the sizes it can draw.

    `sizes` are the lengths that `draw` accepts; for a reasoning family the size is the number of
    steps. `reasoning` is false for controls, which are answered without any step.
    """

    name: str
    sizes: range
    draw: Callable[[random.Random, int], Item]
    reasoning: bool = True

    def direct(self, sizes: range) -> "Family":
        """The same questions with the answer mark in the prompt, so that no step is written."""

        def draw(rng: random.Random, size: int) -> Item:
            item = self.draw(rng, size)
            return dataclasses.replace(
                item, family=name, prompt=f"{item.prompt} {MARK}", answer=item.target
            )

        name = f"{self.name}_direct"
        return Family(name, sizes, draw, self.reasoning)


def held_out(structure: str) -> bool:
    """True for structures reserved for evaluation."""
    digest = hashlib.blake2b(structure.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % HELD_OUT_EVERY == 0


def training_items(
    family: Family, rng: random.Random, sizes: Callable[[], range] | None = None
) -> Iterator[Item]:
    """Endless items outside the held-out part; `sizes` may widen while a curriculum advances."""
    while True:
        item = family.draw(rng, rng.choice(sizes() if sizes else family.sizes))
        if not held_out(item.structure):
            yield item


def evaluation_items(family: Family, rng: random.Random, count: int) -> list[Item]:
    """`count` held-out items, sizes taken in turn.

    A size whose held-out questions run out (short questions are few) gives way to the next size.
    Items have different structures as long as there are any left, since two items of one structure
    are hardly two measurements; after that, only their texts differ. Raises ValueError when the
    whole family cannot fill the count.
    """
    drawn: list[Item] = []
    for kind in (lambda item: item.structure, lambda item: item.prompt or item.answer):
        seen = {kind(item) for item in drawn}
        open_sizes = list(family.sizes)
        while open_sizes and len(drawn) < count:
            for size in tuple(open_sizes):
                item = _fresh_held_out(family, rng, size, kind, seen)
                if item is None:
                    open_sizes.remove(size)
                elif len(drawn) < count:
                    seen.add(kind(item))
                    drawn.append(item)
    if len(drawn) < count:
        raise ValueError(
            f"family {family.name} has only {len(drawn)} held-out items, {count} asked"
        )
    return drawn


def _fresh_held_out(
    family: Family,
    rng: random.Random,
    size: int,
    kind: Callable[[Item], str],
    seen: set[str],
) -> Item | None:
    for _ in range(200 * HELD_OUT_EVERY):
        item = family.draw(rng, size)
        if held_out(item.structure) and kind(item) not in seen:
            return item
    return None
