"""The shape of a kind of calibration corpus."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pipeline.config.calibration import Corpus
from pipeline.errors import UserError

#: Most characters of a corpus that are read when a study is planned.
_LOOKED_AT = 1_000_000


def no_commit(where: str, corpus: Corpus) -> None:
    """Null: the content is known by `identity`."""


def unchecked(where: str, corpus: Corpus) -> None:
    """Nothing: the content is not here before a job fetches it."""


@dataclass(frozen=True)
class CorpusKind:
    """How a corpus written as KIND:WHERE is read, and how it is identified.

    `documents(where, corpus)` yields texts. `identity(where, corpus)` digests or names the content
    cheaply and without network: it is asked for whenever a study is planned. `check(where, corpus)`
    is called then, too, and raises UserError early where `documents` would fail soon after its
    start. For a kind with revisions, `commit(where, corpus)` says which commit the corpus' revision
    stands for: it is asked when the corpus is extracted, and `documents` is given the answer as the
    revision.
    """

    documents: Callable[[str, Corpus], Iterator[str]]
    identity: Callable[[str, Corpus], str]
    commit: Callable[[str, Corpus], str | None] = no_commit
    check: Callable[[str, Corpus], None] = unchecked


def read_beginning(texts: Iterable[str], corpus: Corpus) -> None:
    """Read texts with at least as many characters as the corpus is to have tokens, and no more than
    a million; UserError where they hold nothing but white space."""
    read = 0
    for text in texts:
        read += len(text.strip())
        if read >= min(corpus.tokens, _LOOKED_AT):
            return
    if not read:
        raise UserError(
            f"corpus {corpus.source!r} holds no text; give a file with some, or another field"
        )
