"""A table kind: columns with units, a schema version, a checked writer and reader."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Manifest, read_json, read_parquet, write_json, write_parquet
from pipeline.errors import UserError

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

    def frame(self, rows: "Mapping[str, Any] | list[dict[str, Any]] | pl.DataFrame") -> "pl.DataFrame":
        """A polars frame with exactly this table's columns and types.

        Raises ValueError for missing or extra columns and for nulls where none are allowed.
        """
        import polars as pl

        schema = {name: self._type(column) for name, column in self.columns.items()}
        given = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, schema=schema)
        if set(given.columns) != set(schema):
            raise ValueError(
                f"table {self.name}: columns {sorted(given.columns)}, wanted {sorted(schema)}"
            )
        frame = given.select(list(schema)).cast(schema)
        for name, column in self.columns.items():
            if not column.nullable and frame[name].null_count():
                raise ValueError(f"table {self.name}: column {name} has nulls")
        return frame

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
            raise ValueError(f"document {self.name}: keys {sorted(body)}, wanted {sorted(self.keys)}")
        write_json(path, self.name, self.version, dict(body), manifest)

    def read(self, path: Path) -> dict[str, Any]:
        """The body; UserError when the file is damaged, foreign or of another version."""
        body = read_json(path, self.name, self.version)
        if not isinstance(body, dict) or set(body) != set(self.keys):
            raise UserError(f"{path}: not the keys of {self.name}. Remove the file and run again.")
        return body
