"""A table kind: columns with units, a schema version, a checked writer and reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.store.artifacts import (
    Manifest,
    read_json,
    read_parquet,
    read_safetensors,
    write_json,
    write_parquet,
    write_safetensors,
)

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Column:
    """`kind` is a polars type name; `text` says what the number is, in which unit."""

    kind: str
    text: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """A Parquet table with fixed columns in fixed order."""

    name: str
    version: int
    text: str
    columns: Mapping[str, Column]

    def frame(
        self, rows: "Mapping[str, Any] | list[dict[str, Any]] | pl.DataFrame"
    ) -> "pl.DataFrame":
        """A polars frame with exactly this table's columns and types.

        Raises ValueError for missing or extra columns, for nulls where none are allowed, and for a
        value that the column's type cannot hold as it is.
        """
        import polars as pl

        columns = self._columns(rows)
        schema = {name: self._type(column) for name, column in self.columns.items()}
        made = {}
        for name, values in columns.items():
            try:
                given = pl.Series(name, values, dtype=None if len(values) else schema[name])
                made[name] = given.cast(schema[name])
                kept = given.dtype in (schema[name], pl.Null) or _equal(made[name], given)
            except (TypeError, pl.exceptions.PolarsError) as error:
                raise ValueError(f"table {self.name}: column {name}: {error}") from error
            if not kept:
                raise ValueError(
                    f"table {self.name}: column {name} would change its values as {schema[name]}"
                )
            if not self.columns[name].nullable and made[name].null_count():
                raise ValueError(f"table {self.name}: column {name} has nulls")
        return pl.DataFrame(made)

    def _columns(self, rows: Any) -> dict[str, Any]:
        """Values by column, in the declared order; ValueError unless exactly those are there."""
        if not isinstance(rows, list):
            columns = {name: rows[name] for name in getattr(rows, "columns", rows)}
            named, everywhere = set(columns), set(columns)
        else:
            named = {name for row in rows for name in row}
            everywhere = {name for name in named if all(name in row for row in rows)}
            columns = {name: [row[name] for row in rows] for name in everywhere}
        if not named and not len(rows):
            return {name: [] for name in self.columns}
        if everywhere != set(self.columns) or named != everywhere:
            raise ValueError(
                f"table {self.name}: columns {sorted(named)} (in every row: {sorted(everywhere)}), "
                f"wanted {sorted(self.columns)}; missing {sorted(set(self.columns) - everywhere)}, "
                f"unknown {sorted(named - set(self.columns))}"
            )
        return {name: columns[name] for name in self.columns}

    def write(self, path: Path, rows: Any, manifest: Manifest) -> None:
        """Check the rows and write them atomically."""
        write_parquet(path, self.name, self.version, self.frame(rows).to_arrow(), manifest)

    def read(self, path: Path) -> "pl.DataFrame":
        """The frame, checked; UserError names the file and the way to make it anew."""
        import polars as pl

        table = read_parquet(path, self.name, self.version)
        try:
            return self.frame(pl.DataFrame(pl.from_arrow(table)))
        except ValueError as error:
            raise UserError(f"{path}: {error}. Remove the file and run again.") from error

    @staticmethod
    def _type(column: Column) -> Any:
        import polars as pl

        if column.kind.startswith("List:"):
            return pl.List(getattr(pl, column.kind.removeprefix("List:")))
        return getattr(pl, column.kind)


def _equal(cast: "pl.Series", given: "pl.Series") -> bool:
    """True when casting changed no value."""
    return bool(cast.cast(given.dtype).equals(given, null_equal=True))


@dataclass(frozen=True)
class Document:
    """A JSON artifact with a fixed set of keys."""

    name: str
    version: int
    text: str
    keys: Mapping[str, str]

    def write(self, path: Path, body: Mapping[str, Any], manifest: Manifest) -> None:
        """Write the body atomically; ValueError unless its keys are the declared ones."""
        if set(body) != set(self.keys):
            raise ValueError(
                f"document {self.name}: keys {sorted(body)}, wanted {sorted(self.keys)}"
            )
        write_json(path, self.name, self.version, dict(body), manifest)

    def read(self, path: Path) -> dict[str, Any]:
        """The body; UserError when the file is damaged, foreign or of another version."""
        body = read_json(path, self.name, self.version)
        if not isinstance(body, dict) or set(body) != set(self.keys):
            raise UserError(
                f"{path}: its keys are not those of {self.name}. Remove the file and run again."
            )
        return body


@dataclass(frozen=True)
class Arrays:
    """A safetensors artifact; `arrays` says what its arrays are, by the form of their names."""

    name: str
    version: int
    text: str
    arrays: Mapping[str, str]

    def write(self, path: Path, arrays: Mapping[str, Any], manifest: Manifest) -> None:
        """Write numpy arrays atomically."""
        write_safetensors(path, self.name, self.version, arrays, manifest)

    def read(self, path: Path) -> dict[str, Any]:
        """The arrays; UserError when the file is damaged, foreign or of another version."""
        return read_safetensors(path, self.name, self.version)
