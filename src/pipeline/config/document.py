"""The configuration reference, written from the types: `python -m pipeline.config.document`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from pipeline.config.base import Name
from pipeline.config.study import StudyConfig
from pipeline.registry import PARTS

_OPENING = """\
# Configuration

A study is one YAML file, complete in itself; `config.yaml` is the default one and `configs/` holds
others. Unknown keys, values out of range and names that nothing defines are refused before any job
starts; `python -m pipeline check --config FILE` does that check alone.

A *name* is chosen by you: up to 64 letters, digits and `. _ + -`, a letter or digit first. Keys
without a default must be given.

This page is written from the types in `src/pipeline/config/` by `make docs`.
"""
_NAME = TypeAdapter(Name).json_schema()


def markdown() -> str:
    """The whole page: plain top-level keys in one table, then a section for each of the others."""
    schema = StudyConfig.model_json_schema()
    sections = {key: _section(field) for key, field in schema["properties"].items()}
    plain = {key: schema["properties"][key] for key, model in sections.items() if not model}
    parts = [_OPENING, *_table({**schema, "properties": plain})]
    for key, model in sections.items():
        if model:
            definition = schema["$defs"][model]
            entries = ".NAME" if "$ref" not in schema["properties"][key] else ""
            parts += ["", f"## `{key}{entries}`", "", definition["description"], ""]
            parts += _table(definition)
        if key == "methods":
            parts += [line for kind in PARTS for line in _entries(kind)]
    return "\n".join(parts) + "\n"


def _entries(kind: str) -> Iterator[str]:
    """What can be named as one part of a method, with its options."""
    yield from ("", f"### `methods.NAME.{kind}`", "")
    yield "| name | option | type | default | meaning |"
    yield "|---|---|---|---|---|"
    for name in sorted(PARTS[kind]):
        model = PARTS[kind].load(name).Options.model_json_schema()
        rows = list(_rows(model)) or [("", "", "", "no options")]
        for place, row in enumerate(rows):
            yield _line(("" if place else f"`{name}`", *row))


def _section(field: Mapping[str, Any]) -> str | None:
    """Name of the model behind a section, or behind the entries of a mapping of sections."""
    entries = (field, *field.get("patternProperties", {}).values())
    return next((e["$ref"].rpartition("/")[2] for e in entries if "$ref" in e), None)


def _table(model: Mapping[str, Any]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for row in _rows(model):
        yield _line(row)


def _rows(model: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Key, type, default and meaning of every key."""
    required = model.get("required", ())
    for key, field in model.get("properties", {}).items():
        default = "" if key in required else f"`{json.dumps(field.get('default'))}`"
        yield f"`{key}`", _type(field), default, field.get("description", "")


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " or ".join(_type(option) for option in schema["anyOf"])
    if schema["type"] == "array":
        return f"list, each: {_type(schema['items'])}"
    if _NAME.items() <= schema.items():
        return "name"
    if "pattern" in schema:
        return f"text of the form `{schema['pattern']}`"
    words = {
        "string": "text",
        "object": "mapping",
        "boolean": "`true` or `false`",
        "null": "`null`",
    }
    return words.get(schema["type"], schema["type"]) + _bounds(schema)


def _bounds(schema: Mapping[str, Any]) -> str:
    words = {
        "minimum": "from {:,}",
        "exclusiveMinimum": "above {:,}",
        "maximum": "to {:,}",
        "exclusiveMaximum": "below {:,}",
    }
    given = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return " " + " and ".join(given).replace(" and to ", " to ") if given else ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
