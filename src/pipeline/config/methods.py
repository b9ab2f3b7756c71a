"""`methods`: what is removed from the models, at which levels, with which seeds."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema, field_validator

from pipeline.config.base import Name, Section
from pipeline.registry import SPARSIFIERS

_BOUNDARIES = ("cold", "hot")


def _level(value: Any) -> float | int | str:
    """One message for a wrong level, where a union would give one for each of its members."""
    if isinstance(value, str) and value in _BOUNDARIES:
        return value
    if type(value) is int and value >= 0:
        return value
    if isinstance(value, float) and 0 < value < 1:
        return value
    raise ValueError(
        "a level is a share between 0 and 1, or 'cold' or 'hot', or the whole number of a part"
    )


#: A share of all FFN neurons; the exact boundary of the classification, all cold or all hot; or,
#: of a sparsifier that removes one part of the model, the number of the part.
Level = Annotated[
    float | int | str,
    PlainValidator(_level),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"enum": list(_BOUNDARIES)},
                {"type": "integer", "minimum": 0},
            ]
        }
    ),
]


def level_text(level: float | int | str) -> str:
    """A level as it stands in paths and tables: a share in full, so different levels differ."""
    return str(level)


class Method(Section):
    """A sparsifier on one corpus' profile, run at every level and, when it draws, every seed."""

    sparsifier: str
    corpus: Name
    classification: Name = Field(
        description="hot/cold policy that the ranking and bounds come from"
    )
    levels: tuple[Level, ...] = Field(
        min_length=1,
        description="shares of all neurons; `cold` or `hot` for as many as the set has; for "
        "`drop_decile` deciles from 1, the coldest, to 10; for `drop_cold_layer` layers from 0",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    scope: Literal["model", "layer"] = Field(
        "model", description="remove the share from all neurons ranked together, or from each layer"
    )

    @field_validator("sparsifier")
    @classmethod
    def _known_sparsifier(cls, name: str) -> str:
        return SPARSIFIERS.check(name)

    @field_validator("levels", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple) -> tuple:
        if len(set(values)) != len(values):
            raise ValueError("values must not repeat")
        return values
