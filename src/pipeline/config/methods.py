"""`methods`: what is removed from the models, at which levels, with which seeds."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipeline.config.base import Name, Section
from pipeline.registry import SPARSIFIERS

#: A share of all FFN neurons, or the exact boundary of the classification: all cold, or all hot.
Level = Annotated[float, Field(gt=0, lt=1)] | Literal["cold", "hot"]


class Method(Section):
    """A sparsifier on one corpus' profile, run at every level and, when it draws, every seed."""

    sparsifier: str
    corpus: Name
    classification: Name = Field(description="hot/cold policy that the ranking and bounds come from")
    levels: tuple[Level, ...] = Field(min_length=1)
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
