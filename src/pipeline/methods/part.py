"""What every part of a method is."""

from collections.abc import Mapping

from pipeline.config.base import Section


class NoOptions(Section):
    """A part without options."""


class Part:
    """Base of weight pruning, quantizations, sparsifiers and compensations."""

    Options: type[Section] = NoOptions
    #: True where the result depends on the seed.
    seeded = False
    #: Options that name a corpus, and what is read of it: its profile or its sequences.
    reads: Mapping[str, str] = {}
    #: Option that names another method, whose plan at the same level this one is fitted on.
    follows: str | None = None
