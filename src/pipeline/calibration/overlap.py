"""Overlap between a calibration corpus and evaluation items.

An item overlaps when the corpus holds a run of n words of it, or, for an item shorter than that,
the whole item. Words are split at white space; no tokenizer is involved, so the answer holds
for every model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Overlap:
    """Items, by index, that share a whole prompt or only a run of words with the corpus."""

    documents: tuple[int, ...]
    ngrams: tuple[int, ...]


class Items:
    """Evaluation items, indexed by their runs of `n` words, to be looked for in documents."""

    def __init__(self, items: Sequence[str], n: int) -> None:
        self.words = [tuple(item.split()) for item in items]
        self.lengths = sorted({min(n, len(item)) for item in self.words if item})
        self.runs: dict[tuple[str, ...], list[int]] = {}
        for index, item in enumerate(self.words):
            for run in set(_runs(item, min(n, len(item)))) if item else ():
                self.runs.setdefault(run, []).append(index)

    def shared(self, document: str) -> Overlap:
        """What one document gives away."""
        words = tuple(document.split())
        found = {
            index
            for length in self.lengths
            for run in _runs(words, length)
            for index in self.runs.get(run, ())
        }
        text = f" {' '.join(words)} "
        whole = {index for index in found if f" {' '.join(self.words[index])} " in text}
        return Overlap(tuple(sorted(whole)), tuple(sorted(found - whole)))


def together(documents: Iterable[Overlap]) -> Overlap:
    """What a corpus gives away, from what each of its documents does."""
    whole: set[int] = set()
    partial: set[int] = set()
    for document in documents:
        whole.update(document.documents)
        partial.update(document.ngrams)
    return Overlap(tuple(sorted(whole)), tuple(sorted(partial - whole)))


def overlap(corpus: Iterable[str], items: Sequence[str], n: int) -> Overlap:
    """Which of `items` the documents of `corpus` give away."""
    wanted = Items(items, n)
    return together(wanted.shared(document) for document in corpus)


def _runs(words: tuple[str, ...], length: int) -> Iterable[tuple[str, ...]]:
    return (words[i : i + length] for i in range(len(words) - length + 1))
