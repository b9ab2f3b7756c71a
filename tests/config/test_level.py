"""Levels: one text and one kind each, read back from their texts."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from pipeline.config.level import COLD, HOT, WHOLE, Level

KINDS = [
    (0.25, "share"), (1e-7, "share"), (0.1 + 2**-56, "share"), (0, "part"), (10, "part"),
    ("cold", "set"), ("hot", "set"), ("whole", "whole"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind"), KINDS)
def test_a_level_has_a_kind_and_is_read_back_from_its_text(value, kind):
    level = Level.of(value)
    assert (level.value, level.kind) == (value, kind)
    assert Level.parse(level.text) == level
    assert type(Level.parse(level.text).value) is type(value)
    assert Path("a", level.text, "b").parts[1] == level.text


@pytest.mark.parametrize("value", [0.0, 1.0, -1, 100_001, True, "warm", "0.5", None, float("nan")])
def test_what_is_no_level_is_refused_with_what_is_one(value):
    with pytest.raises(ValueError, match="a level is a share above 0 and below 1, 'cold'"):
        Level.of(value)


@pytest.mark.parametrize("text", ["", "warm", "1.5", "-1", "0.0"])
def test_a_text_of_no_level_is_refused(text):
    with pytest.raises(ValueError, match="level|float"):
        Level.parse(text)


def test_a_share_is_asked_of_shares_alone_and_a_number_of_parts():
    assert (Level.of(0.5).share, Level.of(3).part) == (0.5, 3)
    for level in (Level.of(3), COLD, HOT, WHOLE):
        with pytest.raises(ValueError, match=f"the level {level.text} is not a share"):
            _ = level.share
    with pytest.raises(ValueError, match=r"the level 0\.5 numbers no part"):
        _ = Level.of(0.5).part


def test_in_a_section_it_is_read_from_its_value_and_written_as_it():
    class Own(BaseModel):
        levels: tuple[Level, ...]

    own = Own.model_validate({"levels": [0.5, "cold", 3]})
    assert own.levels == (Level(0.5), COLD, Level(3))
    assert own.model_dump(mode="json") == {"levels": [0.5, "cold", 3]}
    assert json.loads(own.model_dump_json()) == {"levels": [0.5, "cold", 3]}
    with pytest.raises(ValidationError, match="a level is a share"):
        Own.model_validate({"levels": [2.0]})
    assert len(Own.model_json_schema()["properties"]["levels"]["items"]["anyOf"]) == 3
