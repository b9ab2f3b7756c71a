"""`methods`: what is done to the models, at which levels, with which seeds."""

import difflib
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, WithJsonSchema, field_validator

from pipeline.config.base import Name, Section, Seed
from pipeline.config.level import Level
from pipeline.numerics.measures import Measure
from pipeline.registry import PARTS


class PartChoice(Section):
    """One part of a method: a registered name, and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


def flat(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part as a mapping with its options beside its name, given as a PartChoice or as such a
    mapping."""
    if set(part) == {"name", "options"} and isinstance(part["options"], Mapping):
        return {"name": part["name"], **part["options"]}
    return dict(part)


def _part(kind: str) -> Callable[[Any], Any]:
    """A name, or a mapping of a name and options beside it, as a PartChoice with all options."""

    def read(value: Any) -> Any:
        if value is None or isinstance(value, PartChoice):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
            raise ValueError("give a name, or a mapping with `name` and options beside it")
        PARTS[kind].check(value["name"])
        options = {key: option for key, option in flat(value).items() if key != "name"}
        return PartChoice(name=value["name"], options=_options(kind, value["name"], options))

    return read


def _options(kind: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with defaults filled in; ValueError says which option is refused, and why."""
    kinds = PARTS[kind].load(name).Options
    try:
        found: dict[str, Any] = kinds.model_validate(dict(given)).model_dump(mode="json")
    except ValidationError as error:
        raise ValueError("; ".join(_problem(name, kinds, p) for p in error.errors())) from None
    return found


def check_options(kind: str, name: str, given: Mapping[str, Any]) -> None:
    """ValueError for options that a part does not take; one that it needs may be left out."""
    kinds = PARTS[kind].load(name).Options
    try:
        kinds.model_validate(dict(given))
    except ValidationError as error:
        wrong = [problem for problem in error.errors() if problem["type"] != "missing"]
        if wrong:
            raise ValueError("; ".join(_problem(name, kinds, p) for p in wrong)) from None


def _problem(name: str, kinds: type[Section], problem: Mapping[str, Any]) -> str:
    key = str(problem["loc"][0])
    known = sorted(kinds.model_fields)
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return f"{name} has no option {key!r}.{hint} It takes: {', '.join(known) or 'none'}"
    if problem["type"] == "missing":
        return f"{name} needs the option {key!r}"
    quotes = problem["type"] == "literal_error" and not isinstance(problem["input"], str)
    hint = "; put it in quotes, or YAML reads a number" if quotes else ""
    return f"{name}, {key}: {problem['input']!r} is refused: {problem['msg']}{hint}"


def part_schema(kind: str) -> dict[str, Any]:
    """The JSON schema of a part of a method, in which any options are allowed."""
    return {
        "anyOf": [
            {"enum": sorted(PARTS[kind])},
            {"type": "object", "description": "with `name` and options"},
            {"type": "null"},
        ]
    }


def _field(kind: str) -> Any:
    return Annotated[
        PartChoice | None, BeforeValidator(_part(kind)), WithJsonSchema(part_schema(kind))
    ]


class Method(Section):
    """What is done to a model, at every level and, where something is drawn, with every seed.

    Up to four parts, which are applied in this order: weights are pruned, then quantized; a
    sparsifier skips neurons or inputs; a compensation adds to biases to make up for what is lost. A
    part is a name, or a mapping with `name` and its options. Levels are those of the sparsifier;
    without one, those of the weight pruning; without either, `whole`.
    """

    weights: _field("weights") = Field(  # type: ignore[valid-type]
        None, description="weight pruning"
    )
    quantization: _field("quantization") = Field(  # type: ignore[valid-type]
        None, description="quantization of the linear layers' weights, after pruning"
    )
    sparsifier: _field("sparsifier") = Field(  # type: ignore[valid-type]
        None, description="part that skips neurons or input channels, fitted after quantization"
    )
    compensation: _field("compensation") = Field(  # type: ignore[valid-type]
        None, description="part that adds to biases, fitted with the sparsifier at work"
    )
    corpus: Name = Field(description="corpus on which neurons are ranked and thresholds fitted")
    classification: Name | None = Field(
        None,
        description="entry of `classification` that gives the ranking and the hot and cold sets; "
        "null where none is needed",
    )
    levels: tuple[Level, ...] = Field(
        min_length=1,
        description="shares of the neurons removed, or in the part's own unit; `cold` or `hot` for "
        "as many neurons as that set has; a whole number where a sparsifier removes one part of "
        "the model alone: a decile from 1, the coldest, to 10, or a layer from 0; `whole` for a "
        "method without levels",
    )
    measure: Measure | None = Field(
        None,
        description="achieved measure, natural zeros included, that levels are shares of; null "
        "for the sparsifier's own unit",
    )
    sparse_from: Literal["start", "continuation"] | Annotated[int, Field(ge=0, le=2**20)] = Field(
        "start",
        description="where in a sequence the sparsifier starts: at its first token, where an "
        "answer or a choice begins, or after this many tokens; in texts always at the first",
    )
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    scope: Literal["layer", "model"] = Field(
        "layer",
        description="for neurons removed for good: take the share of each layer, or of all "
        "neurons ranked together, which may empty whole layers",
    )

    @cached_property
    def parts(self) -> dict[str, dict[str, Any]]:
        """The parts there are, in their order, each with its name and all its options."""
        found = {kind: getattr(self, kind) for kind in PARTS}
        return {kind: part.model_dump() for kind, part in found.items() if part is not None}

    @field_validator("levels", "seeds")
    @classmethod
    def _no_repeats(cls, values: tuple) -> tuple:
        if len(set(values)) != len(values):
            raise ValueError("values must not repeat")
        return values
