"""How far a method goes: the type that every level is, from the configuration to the page."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

#: A `share` is of whatever the method removes or skips, a `set` the cold or the hot neurons of the
#: classification, a `part` the part of the model with that number, and `whole` the only level of a
#: method without levels.
Kind = Literal["share", "set", "part", "whole"]
SHARE: Kind = "share"
SET: Kind = "set"
PART: Kind = "part"

_COLD, _HOT, _WHOLE = "cold", "hot", "whole"
#: Largest number of a layer or decile.
_MOST_PARTS = 100_000
#: A level's value as a JSON schema.
LEVEL_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        {"enum": [_COLD, _HOT, _WHOLE]},
        {"type": "integer", "minimum": 0, "maximum": _MOST_PARTS},
    ]
}


@dataclass(frozen=True)
class Level:
    """One level. `value` is a share as a float, the number of a part as an int, or a word.

    `of` checks a value, `parse` reads what `text` wrote. Levels are equal when their kinds and
    values are equal, and different levels have different texts.
    """

    value: float | int | str

    @classmethod
    def of(cls, value: Any) -> "Level":
        """The level of a configured value; ValueError for a value that is not a level."""
        if isinstance(value, Level):
            return value
        named = isinstance(value, str) and value in (_COLD, _HOT, _WHOLE)
        numbered = type(value) is int and 0 <= value <= _MOST_PARTS
        if named or numbered or isinstance(value, float) and 0 < value < 1:
            return cls(value)
        raise ValueError(
            "a level is a share above 0 and below 1, 'cold', 'hot' or 'whole', or a part's number"
        )

    @classmethod
    def parse(cls, text: str) -> "Level":
        """The level of a text in a path or a table; ValueError for a text that is not a level."""
        if text in (_COLD, _HOT, _WHOLE):
            return cls(text)
        return cls.of(int(text) if text.isdecimal() else float(text))

    @property
    def text(self) -> str:
        """The level as written in paths and tables: a share with all its digits, so that different
        levels have different texts."""
        return str(self.value)

    @property
    def kind(self) -> Kind:
        """The kind of the level: share, set, part or whole."""
        if isinstance(self.value, float):
            return "share"
        if isinstance(self.value, int):
            return "part"
        return "whole" if self.value == _WHOLE else "set"

    @property
    def share(self) -> float:
        """The share; ValueError for a level that is not a share."""
        if not isinstance(self.value, float):
            raise ValueError(f"the level {self.text} is not a share")
        return self.value

    @property
    def part(self) -> int:
        """The number of the part; ValueError for a level that is not a part's number."""
        if not isinstance(self.value, int):
            raise ValueError(f"the level {self.text} numbers no part")
        return self.value

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read by `of`, which gives one message for a wrong level, and written as its value."""
        return core_schema.no_info_plain_validator_function(
            cls.of,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda level: level.value
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return LEVEL_SCHEMA


COLD, HOT, WHOLE = Level(_COLD), Level(_HOT), Level(_WHOLE)
