"""The shape of a kind of calibration corpus."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipeline.config.calibration import Corpus


@dataclass(frozen=True)
class CorpusKind:
    """How a corpus written as KIND:WHERE is read, and how it is told from another.

    `documents(where, corpus)` yields texts. `identity(where, corpus)` digests or names the content
    cheaply and without network: it is asked for whenever a study is planned.
    """

    documents: Callable[[str, Corpus], Iterator[str]]
    identity: Callable[[str, Corpus], str]
