"""Every shipped configuration is accepted, plans a study, and holds what differs from defaults."""

from pathlib import Path

import pytest
import yaml

from pipeline.config.methods import Method
from pipeline.config.study import StudyConfig, parse_study
from pipeline.config.written import WrittenStudy
from pipeline.planning import study as planning
from pipeline.planning.study import Study, read_config
from pipeline.registry import PARTS

SHIPPED = pytest.mark.parametrize(
    "path",
    sorted([planning.PROJECT / "config.yaml", *(planning.PROJECT / "configs").glob("*.yaml")]),
    ids=lambda path: Path(path).stem,
)


@SHIPPED
def test_every_shipped_configuration_plans_a_study(path):
    study = Study(parse_study(read_config(path)))
    assert study.conditions
    model, corpus = study.profiled[0]
    assert study.profile_key(model, corpus) and study.dense_key(model)


@SHIPPED
def test_every_shipped_configuration_holds_no_default(path):
    written = read_config(path)
    sections = {
        key: dict(StudyConfig.model_fields[key].annotation.model_fields)
        for key in ("profile", "evaluation", "analysis")
    }
    for key, fields in sections.items():
        assert defaults_in(written.get(key, {}), fields) == [], key
    for key in ("models", "calibration", "classification"):
        fields = StudyConfig.model_fields[key].annotation.__args__[1].model_fields
        for entry in written[key].values():
            assert defaults_in(entry, fields) == [], key
    assert defaults_in(written, WrittenStudy.model_fields) == []


@SHIPPED
def test_methods_of_every_shipped_configuration_hold_no_default(path):
    written = read_config(path)
    shared = written.get("method_defaults", {})
    for name, entry in written["methods"].items():
        usual = {key: field.default for key, field in Method.model_fields.items()} | shared
        assert [key for key, value in entry.items() if value == plain(usual.get(key, ...))] == []
        options = shared.get("options", {})
        for kind in PARTS:
            for part in (entry.get(kind), *values_of(entry.get("grid", {}).get(kind))):
                assert options_by_default(kind, part, options) == [], name


def defaults_in(written, fields):
    return [key for key, value in written.items() if value == plain(fields[key].default)]


def plain(value):
    """A default as YAML has it."""
    return list(value) if isinstance(value, tuple) else value


def values_of(axis):
    return axis.values() if isinstance(axis, dict) else axis or ()


def options_by_default(kind, part, shared):
    if not isinstance(part, dict):
        return []
    fields = PARTS[kind].load(part["name"]).Options.model_fields
    usual = {key: plain(field.default) for key, field in fields.items()}
    usual |= shared.get(part["name"], {})
    return [key for key, value in part.items() if key != "name" and value == usual[key]]


def test_the_readmes_study_is_accepted():
    text = (planning.PROJECT / "README.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    study = parse_study(yaml.safe_load(example), Path("/anywhere"))
    assert study.models["my-llama"].source == "/anywhere/models/my-llama"
    assert {method.corpus for method in study.methods.values()} == set(study.calibration)
