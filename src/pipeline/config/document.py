"""The configuration reference, written from the types: `python -m pipeline.config.document`."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from pipeline.config.base import Name
from pipeline.config.methods import Method
from pipeline.config.study import StudyConfig
from pipeline.config.written import MethodDefaults, MethodEntry
from pipeline.registry import PARTS

_OPENING = """\
# Configuration

A study is one YAML file, which holds what differs from the defaults; `config.yaml` is the default
study and `configs/` holds others. Unknown keys, values out of range and names that nothing defines
are refused before any job starts; `python -m pipeline check FILE` does that check alone.

A *name* is chosen by you: up to 64 letters, digits and `. _ + -`, a letter or digit first. Keys
without a default must be given.

Editors that know JSON schemas complete and check keys as you write if the file's first line is
`# yaml-language-server: $schema=PATH`, with the path from the file to `docs/config.schema.json`.

`make docs` writes this page and that schema from the types in `src/pipeline/config/`.
"""
_DEFAULTS = """\
## Defaults, method defaults and grids

Every key has its default in the tables of this page, and nowhere else. A default that is written
out changes nothing, so a file needs only the keys without a default.

    python -m pipeline check --complete FILE

prints the study with every key in it, as a file that is the same study in whatever folder it is.

**`method_defaults`** holds keys for every method that does not give them itself, and `options` of
parts by the part's name:

```yaml
method_defaults:
  corpus: reasoning
  options:
    spon: {steps: 150}
```

A method's own key replaces the default as a whole, even if it is `null`. Options are taken one by
one: a method with `compensation: {name: spon, sites: all}` has these 150 steps, too.

**A grid** makes several methods from one entry: one for every combination of the values under its
key `grid`, with the entry's other keys in common. All keys of a method can be in a grid, except
`levels` and `seeds`, which are lists already. This entry stands for `int8_plain`,
`int8_spon`, `int4_plain` and `int4_spon`, in this order:

```yaml
methods:
  bits:
    name: "{quantization}_{compensation}"
    sparsifier: teal
    levels: [0.5]
    grid:
      quantization: [int8, int4]
      compensation: {plain: null, spon: {name: spon, sites: all}}
```

- Values are a list, or a mapping of words to values, which is needed for values with options. In
  names a value of a list is its own word, and a value of a mapping has the word that maps to it.
- `name` says how the methods are named: `{method}` stands for the entry's name, here `bits`, and
  `{KEY}` for the word of that key's value. Without `name` the entry's name and all words are
  joined, as in `bits_int8_plain`.
- `null` in a list and `""` in a mapping add no word, and the mark before it is left out as well: an
  entry `teal` with `grid: {compensation: [null, spon]}` stands for `teal` and `teal_spon`.
"""
_NAME = TypeAdapter(Name).json_schema()


def markdown() -> str:
    """The whole page: plain top-level keys in one table, what is shared by methods, then a section
    for each of the other keys."""
    schema = StudyConfig.model_json_schema()
    sections = {key: _section(field) for key, field in schema["properties"].items()}
    plain = {key: schema["properties"][key] for key, model in sections.items() if not model}
    parts = [_OPENING, *_table({**schema, "properties": plain}), "", _DEFAULTS, *_shared()]
    for key, model in sections.items():
        if model:
            definition = schema["$defs"][model]
            entries = ".NAME" if "$ref" not in schema["properties"][key] else ""
            parts += ["", f"## `{key}{entries}`", "", definition["description"], ""]
            parts += _table(definition)
        if key == "methods":
            parts += [line for kind in PARTS for line in _entries(kind)]
    return "\n".join(parts) + "\n"


def _shared() -> Iterator[str]:
    """A table of the keys that are written in place of others: defaults and grids."""
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for place, model in (("method_defaults", MethodDefaults), ("methods.NAME", MethodEntry)):
        fields = model.model_json_schema()["properties"]
        own = {key: field for key, field in fields.items() if key not in Method.model_fields}
        for key, field in own.items():
            default = json.dumps(field.get("default", {}))
            yield _line((f"`{place}.{key}`", f"`{default}`", field["description"]))


def _entries(kind: str) -> Iterator[str]:
    """A table of what can be named as a part of this kind, with its options."""
    yield from ("", f"### `methods.NAME.{kind}`", "")
    yield "| name | option | type | default | meaning |"
    yield "|---|---|---|---|---|"
    for name in sorted(PARTS[kind]):
        model = PARTS[kind].load(name).Options.model_json_schema()
        rows = list(_rows(model)) or [("", "", "", "no options")]
        for place, row in enumerate(rows):
            yield _line(("" if place else f"`{name}`", *row))


def _section(field: Mapping[str, Any]) -> str | None:
    """Name of the pydantic model of a section, or of the entries of a mapping of sections."""
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
