"""docs/config.schema.json is written from the types, and knows what the files may hold."""

import copy
import json

import pytest

from pipeline.config import schema
from pipeline.config.complete import complete
from pipeline.config.study import parse_study
from pipeline.planning.study import PROJECT, read_config
from pipeline.registry import PARTS

SHIPPED = [PROJECT / "config.yaml", *sorted((PROJECT / "configs").glob("*.yaml"))]


@pytest.fixture(scope="module")
def faults():
    """A function: values -> messages of a validator of JSON schemas."""
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema.schema())
    validator.check_schema(schema.schema())
    return lambda values: [error.message for error in validator.iter_errors(values)]


def test_shipped_schema_is_current():
    shipped = (PROJECT / "docs" / "config.schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == schema.schema(), "run `make docs`"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_name_the_schema_and_are_of_it(faults, path):
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == PROJECT / "docs" / "config.schema.json"
    written = read_config(path)
    assert faults(written) == []
    assert faults(json.loads(json.dumps(complete(parse_study(written))))) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("modles", {}),
        ("models.backbone.dtype", "int8"),
        ("calibration.reasoning.source", "bultin:reasoning"),
        ("classification.coverage80.policy", "coverge"),
        ("methods.drop_cold.levels", [1.5]),
        ("methods.drop_cold.sparsifier", "drop_cld"),
        ("methods.drop_cold.sparsifier", {"name": "teal", "alocation": "greedy"}),
        ("methods.drop_cold.sparsifier", {"name": "teal", "allocation": "greddy"}),
        ("methods.drop_cold.sparsifier", {"name": "selective"}),
        ("methods.drop_cold.grid", {"levels": [[0.5]]}),
        ("methods.drop_cold.grid", {"quantization": ["int44"]}),
        ("methods.drop_cold.grid", {"quantization": {"bits": "int44"}}),
        ("method_defaults", {"corpsu": "reasoning"}),
        ("method_defaults", {"options": {"spoon": {}}}),
        ("method_defaults", {"options": {"spon": {"step": 1}}}),
        ("evaluation.limit", 1),
    ],
)
def test_what_is_refused_when_it_is_read_is_marked(faults, study_values, place, value):
    values = copy.deepcopy(study_values)
    assert faults(values) == []
    *sections, last = place.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[last] = value
    assert faults(values)


def test_every_part_is_suggested_with_its_options():
    definitions = schema.schema()["$defs"]
    for kind, registry in PARTS.items():
        names, *parts, null = definitions[f"part_{kind}"]["anyOf"]
        assert names["enum"] == sorted(registry) and null == {"type": "null"}
        for name, part in zip(sorted(registry), parts, strict=True):
            options = set(registry.load(name).Options.model_fields)
            assert set(part["properties"]) == {"name"} | options
