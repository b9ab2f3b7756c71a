"""Rows of JSONL files: one JSON object a line."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, at
from pipeline.store import characters

#: Byte sequences without which a line cannot hold what `characters` refuses; harmless emoji hold
#: them, too.
_SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\xed[\xa0-\xbf]")


def rows(path: Path, fields: Sequence[str] | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of every line that is not empty.

    UserError, with file and line, where a line is not UTF-8, not JSON or not an object, and where a
    text (one in `fields`, if these are given) holds what `characters` refuses.
    """
    # Read as bytes, so that only \n ends a line: strings may hold U+2028 and the like.
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                with at(f"{path.name}, line {number}"):
                    row = _row(line, fields)
                yield number, row


def _row(line: bytes, fields: Sequence[str] | None) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row, dict) and _SUSPECT.search(line):
            _check(row if fields is None else [row.get(field) for field in fields])
    except UserError:
        raise
    except RecursionError as error:
        raise UserError("lists or objects are nested too deeply; flatten them") from error
    except ValueError as error:
        raise UserError(f"not JSON ({error}); give one object a line") from error
    if not isinstance(row, dict):
        raise UserError("holds no fields; give one object a line")
    return row


def _check(value: Any) -> None:
    if isinstance(value, str):
        characters.check(value)
    elif isinstance(value, list):
        for inner in value:
            _check(inner)
    elif isinstance(value, dict):
        _check([*value, *value.values()])
