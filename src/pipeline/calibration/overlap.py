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


def overlap(corpus: Iterable[str], items: Sequence[str], n: int) -> Overlap:
    """Which of `items` the documents of `corpus` give away."""
    words = [tuple(item.split()) for item in items]
    lengths = sorted({min(n, len(item)) for item in words if item})
    wanted = {gram for item in words for gram in _grams(item, min(n, len(item)))}
    found: set[tuple[str, ...]] = set()
    texts: list[str] = []
    for document in corpus:
        split = tuple(document.split())
        before = len(found)
        for length in lengths:
            found.update(gram for gram in _grams(split, length) if gram in wanted)
        if len(found) > before or any(g in found for g in _grams(split, min(n, len(split) or 1))):
            texts.append(f" {' '.join(split)} ")
    whole: list[int] = []
    partial: list[int] = []
    joined = "\n".join(texts)
    for index, item in enumerate(words):
        if not item or not any(gram in found for gram in _grams(item, min(n, len(item)))):
            continue
        (whole if f" {' '.join(item)} " in joined else partial).append(index)
    return Overlap(tuple(whole), tuple(partial))


def _grams(words: tuple[str, ...], length: int) -> Iterable[tuple[str, ...]]:
    return (words[i : i + length] for i in range(len(words) - length + 1))
