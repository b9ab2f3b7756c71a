"""Overlap between a calibration corpus and evaluation items.

An item overlaps when the corpus holds a run of n words of it, or, for an item shorter than that,
the whole item. No tokenizer is involved, so the answer holds for every model. A word is a run of
letters, digits and their combining marks. Every other mark counts as a word, and so does every
character of a script that puts no spaces between words (Chinese, Japanese, Thai, Lao, Khmer,
Burmese, Tibetan). White space, case, full width and other compatibility forms (NFKC), characters
that cannot be seen, and the shape of quotes and dashes make no difference: `Word ,` is `word,`.
"""

import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.tasks import task as tasks

#: Ranges of characters of scripts without spaces, after NFKC.
_SPACELESS = (
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\u1780-\u17ff\u1950-\u19ff"  # Burmese, Khmer, Tai Le, New Tai Lue
    "\u3005-\u3007\u3040-\u312f\u31f0-\u31ff"  # kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
#: Hyphens that break lines, joiners and marks of byte order; and shapes that stand for another.
_SAME = str.maketrans("‘’“”–—", "''\"\"--", "\u00ad\u200b\u200c\u200d\u2060\ufeff")


@dataclass(frozen=True)
class Overlap:
    """Items, by index, that share a whole prompt or only a run of words with the corpus."""

    documents: tuple[int, ...]
    ngrams: tuple[int, ...]


class Items:
    """Evaluation items, indexed by their runs of `n` words, to be looked for in documents."""

    def __init__(self, items: Sequence[str], n: int) -> None:
        self.words = [words_of(item) for item in items]
        self.lengths = sorted({min(n, len(item)) for item in self.words if item})
        self.runs: dict[tuple[str, ...], list[int]] = {}
        for index, item in enumerate(self.words):
            for run in set(_runs(item, min(n, len(item)))) if item else ():
                self.runs.setdefault(run, []).append(index)

    def shared(self, document: str) -> Overlap:
        """The items that one document gives away."""
        words = words_of(document)
        found = {
            index
            for length in self.lengths
            for run in _runs(words, length)
            for index in self.runs.get(run, ())
        }
        text = f" {' '.join(words)} "
        whole = {index for index in found if f" {' '.join(self.words[index])} " in text}
        return Overlap(tuple(sorted(whole)), tuple(sorted(found - whole)))


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text in the form that they are compared in; see the module."""
    plain = unicodedata.normalize("NFKC", text.translate(_SAME)).casefold()
    return tuple(_pattern().findall(plain))


@cache
def _pattern() -> re.Pattern[str]:
    """Matches one word. Made on first use, since the combining marks have to be collected: `\\w`
    leaves them out and would cut the words of many scripts into pieces."""
    characters = map(chr, range(sys.maxunicode + 1))
    combining = "".join(c for c in characters if unicodedata.category(c)[0] == "M")
    return re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])[\w{combining}])+|\S")


def together(documents: Iterable[Overlap]) -> Overlap:
    """The items that a corpus gives away, from those that each of its documents does."""
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


def compared(texts: Iterable[str], corpus: Corpus, task_names: Sequence[str]) -> dict[str, Any]:
    """Body of tables.overlap.OVERLAP: how many of the tasks' items the texts of a corpus give away.

    Raises UserError, with the first of the items, where there are some and the configuration does
    not allow it.
    """
    prompts: list[str] = []
    origin: list[tuple[str, int]] = []
    for task in map(tasks.find, task_names):
        for index, item in enumerate(task.items()):
            prompts.append(task.question(item))
            origin.append((task.name, index))
    shared = overlap(texts, prompts, corpus.overlap_ngram)
    items = shared.documents + shared.ngrams
    if items and not corpus.allow_overlap:
        name, index = origin[items[0]]
        raise UserError(
            f"calibration corpus {corpus.source!r} shares {len(shared.documents)} whole "
            f"prompts and {len(shared.ngrams)} runs of {corpus.overlap_ngram} words with the "
            f"evaluation tasks; for example item {index} of {name}: {prompts[items[0]]!r}. Use "
            "another corpus, a larger overlap_ngram where such runs are common, or allow_overlap: "
            "true, which the report will show"
        )
    return {
        "overlap_ngram": corpus.overlap_ngram,
        "shared_documents": len(shared.documents),
        "shared_ngrams": len(shared.ngrams),
        "allowed": bool(items),
    }
