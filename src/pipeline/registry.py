"""Registries: a name that configuration uses, and where the object behind it lives."""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import UserError


def unknown_name(kind: str, name: str, known: Mapping[str, Any] | list[str]) -> str:
    """A sentence for an unknown name, with the nearest known one and the whole list."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(sorted(known))}."


class Registry(Mapping[str, str]):
    """Names mapped to "module:object"; the module is imported on `load` only.

    The table is written as a literal in the package that owns the entries. Source digests leave
    the table out and digest the entries that a job names, so a new line reruns nothing.
    """

    def __init__(self, kind: str, table: Mapping[str, str]) -> None:
        self.kind = kind
        self._table = dict(table)

    def __getitem__(self, name: str) -> str:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def check(self, name: str) -> None:
        """Raise UserError, with the nearest name, unless `name` is registered."""
        if name not in self._table:
            raise UserError(unknown_name(self.kind, name, self._table))

    def load(self, name: str) -> Any:
        """Import and return the object registered as `name`."""
        self.check(name)
        module, _, attribute = self._table[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
