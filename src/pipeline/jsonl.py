"""Rows of JSONL files: one JSON object a line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import UserError


def rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, row) of every line that is not empty.

    UserError names file and line where a line is no UTF-8, no JSON or no object.
    """
    # As bytes, a file has no line ends but \n: strings may hold U+2028 and its like as they are.
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _row(line, f"{path.name}, line {number}")


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: no JSON ({error}); give one object a line") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: holds no fields; give one object a line")
    return row
