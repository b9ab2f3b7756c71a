"""docs/configuration.md is written from the types."""

import yaml
from pydantic import BaseModel

from pipeline.config import document
from pipeline.config.methods import Method, PartChoice
from pipeline.config.study import StudyConfig, parse_study
from pipeline.config.written import MethodDefaults, MethodEntry
from pipeline.planning.study import PROJECT
from pipeline.registry import PARTS


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        for inner in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found += _models(inner)
    return found


def test_shipped_page_is_current():
    shipped = (PROJECT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert shipped == document.markdown(), "run `make docs`"


def test_every_key_has_a_row_or_a_section():
    page = document.markdown()
    for model in set(_models(StudyConfig)) - {PartChoice}:
        for key in model.model_fields:
            places = (f"| `{key}` |", f"## `{key}`", f"## `{key}.NAME`")
            assert any(place in page for place in places), key


def test_keys_that_stand_for_others_have_a_row():
    page = document.markdown()
    for place, model in (("method_defaults", MethodDefaults), ("methods.NAME", MethodEntry)):
        for key in set(model.model_fields) - set(Method.model_fields):
            assert f"| `{place}.{key}` |" in page, key


def test_the_pages_example_of_a_grid_makes_what_it_says(study_values):
    example = document.markdown().partition("methods:\n")[2].partition("```")[0]
    study_values["methods"] = yaml.safe_load("methods:\n" + example)["methods"]
    study_values["method_defaults"] = {"corpus": "reasoning"}
    names = ["int8_plain", "int8_spon", "int4_plain", "int4_spon"]
    assert list(parse_study(study_values).methods) == names


def test_types_bounds_and_defaults_in_words():
    rows = document.markdown().splitlines()
    limit = "| `limit` | integer from 2 to 10,000,000 or `null` | `null` |"
    cett = "| `cett` | number above 0 and below 1 | `0.2` |"
    levels = "| `levels` | list, each: number above 0 and below 1 or `cold` or `hot` or `whole` or "
    for start in (limit, cett, levels):
        assert any(row.startswith(start) for row in rows), start


def test_pipes_in_a_cell_do_not_end_it():
    row = next(r for r in document.markdown().splitlines() if r.startswith("| `device` |"))
    assert row.replace("\\|", "").count("|") == 5


def test_every_part_of_a_method_has_a_row_and_every_option_too():
    page = document.markdown()
    for kind, entries in PARTS.items():
        section = page.partition(f"### `methods.NAME.{kind}`")[2].partition("\n#")[0]
        for name in entries:
            assert f"| `{name}` |" in section, name
            for option in entries.load(name).Options.model_fields:
                assert f"| `{option}` |" in section, (name, option)
