"""The JSON schema of configuration files, for editors: `python -m pipeline.config.schema`.

It knows every key, the names that registries hold, and the options of every part. Conditions
between keys are checked by `python -m pipeline check`.
"""

import json
import sys
from typing import Any

from pipeline.config.methods import part_schema
from pipeline.config.written import WrittenStudy
from pipeline.registry import CORPORA, PARTS, POLICIES

#: Models whose required keys may stand in `method_defaults` or in a grid.
_SHARED = ("MethodEntry", "MethodDefaults")


def schema() -> dict[str, Any]:
    """The schema of a configuration file, draft 2020-12."""
    tree: dict[str, Any] = _named(WrittenStudy.model_json_schema())
    models = tree["$defs"]
    models |= {_definition(kind): {"anyOf": _choices(kind)} for kind in PARTS}
    for name in _SHARED:
        del models[name]["required"]
    models["Classification"]["properties"]["policy"]["enum"] = sorted(POLICIES)
    models["Corpus"]["properties"]["source"]["pattern"] = f"^({'|'.join(sorted(CORPORA))}):."
    options = models["MethodDefaults"]["properties"]["options"]
    options |= {"properties": _options_of_all(), "additionalProperties": False}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A study of Cold Neurons",
    }
    return head | {key: value for key, value in tree.items() if key not in head}


def _named(node: Any) -> Any:
    """The schema with a reference to the full definition of a part wherever its options were left
    open."""
    if isinstance(node, list):
        return [_named(each) for each in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _named(value) for key, value in node.items()}
    for kind in PARTS:
        if node.get("anyOf") == part_schema(kind)["anyOf"]:
            del inner["anyOf"]
            return inner | {"$ref": f"#/$defs/{_definition(kind)}"}
    return inner


def _definition(kind: str) -> str:
    return f"part_{kind}"


def _choices(kind: str) -> list[dict[str, Any]]:
    """A name, a mapping of a name and its options for every entry of a registry, or null."""
    named = []
    for name in sorted(PARTS[kind]):
        options = _options(kind, name)
        required = ["name", *options.get("required", ())]
        properties = {"name": {"const": name}} | options["properties"]
        named.append(options | {"properties": properties, "required": required})
    return [{"enum": sorted(PARTS[kind])}, *named, {"type": "null"}]


def _options(kind: str, name: str) -> dict[str, Any]:
    """The schema of a part's options, as an object that allows no other keys."""
    model: dict[str, Any] = PARTS[kind].load(name).Options.model_json_schema()
    keys = {key: model[key] for key in ("type", "properties", "required") if key in model}
    return {"properties": {}} | keys | {"additionalProperties": False}


def _options_of_all() -> dict[str, Any]:
    """Schemas of all parts' options by the part's name; none is required."""
    parts = {name: _options(kind, name) for kind, names in PARTS.items() for name in names}
    for options in parts.values():
        options.pop("required", None)
    return dict(sorted(parts.items()))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
