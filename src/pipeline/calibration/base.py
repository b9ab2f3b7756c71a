"""The shape of a kind of calibration corpus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.config.calibration import Corpus


def no_commit(where: str, corpus: Corpus) -> None:
    """Null: the content is known by `identity`."""


@dataclass(frozen=True)
class CorpusKind:
    """How a corpus written as KIND:WHERE is read, and how it is told from another.

    `documents(where, corpus)` yields texts. `identity(where, corpus)` digests or names the content
    cheaply and without network: it is asked for whenever a study is planned. For a kind with
    revisions, `commit(where, corpus)` says which commit the corpus' revision stands for: it is
    asked when the corpus is extracted, and `documents` is given the answer as the revision.
    """

    documents: Callable[[str, Corpus], Iterator[str]]
    identity: Callable[[str, Corpus], str]
    commit: Callable[[str, Corpus], str | None] = no_commit
