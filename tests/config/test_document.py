"""docs/configuration.md is written from the types."""

from pydantic import BaseModel

from pipeline.config import document
from pipeline.config.study import StudyConfig
from pipeline.study import PROJECT


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
    for model in _models(StudyConfig):
        for key in model.model_fields:
            places = (f"| `{key}` |", f"## `{key}`", f"## `{key}.NAME`")
            assert any(place in page for place in places), key


def test_types_bounds_and_defaults_in_words():
    rows = document.markdown().splitlines()
    limit = "| `limit` | integer from 2 or `null` | `null` |"
    cett = "| `cett` | number above 0 and below 1 | `0.2` |"
    levels = "| `levels` | list, each: number above 0 and below 1 or `cold` or `hot` or integer "
    for start in (limit, cett, levels):
        assert any(row.startswith(start) for row in rows), start


def test_pipes_in_a_cell_do_not_end_it():
    row = next(r for r in document.markdown().splitlines() if r.startswith("| `device` |"))
    assert row.replace("\\|", "").count("|") == 5
