"""A study as a file writes it: defaults that its methods share, and grids of methods.

`faults` says what is wrong with it where it is written, and `write_out` gives every method all of
its keys, which is what a StudyConfig is made of.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    create_model,
    field_validator,
)

from pipeline.config.base import Name, Section
from pipeline.config.methods import Method, check_options, flat
from pipeline.config.sections import StudySections
from pipeline.errors import UserError, unknown_name
from pipeline.registry import PARTS

#: Keys of a method that a grid can go over; `levels` and `seeds` are lists by themselves.
AXES = tuple(key for key in Method.model_fields if key not in ("levels", "seeds"))
#: What the entry of a grid is called in the names of its methods.
ENTRY = "method"
#: Methods that a grid may stand for, before levels and seeds multiply them.
MOST_METHODS = 1000
#: A mark that stands between words of a name.
_MARK = r"[._+-]"


def _axis(key: str) -> Any:
    """The type of one key of a grid: values by the words that stand for them in names."""
    value: Any = TypeAdapter(Method.model_fields[key].rebuild_annotation())
    schema = value.json_schema()
    described = WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": schema, "minItems": 1},
                {"type": "object", "additionalProperties": schema, "minProperties": 1},
            ]
        }
    )
    read = BeforeValidator(_checked_by(value))
    return Annotated[dict[str, Any] | None, read, described], Field(None)


def _checked_by(value: TypeAdapter[Any]) -> Callable[[Any], dict[str, Any]]:
    """A reader of one key of a grid that refuses values which the key would not take."""

    def read(axis: Any) -> dict[str, Any]:
        words = words_of(axis)
        for each in words.values():
            try:
                value.validate_python(each)
            except ValidationError as error:
                said = error.errors()[0]["msg"].removeprefix("Value error, ")
                raise ValueError(f"{each!r}: {said}") from None
        return words

    return read


def words_of(axis: Any) -> dict[str, Any]:
    """Word -> value of one key of a grid. Values of a list are their own words, and null has the
    empty one. ValueError where it is neither a list nor a mapping, or a value has no word."""
    if isinstance(axis, Mapping) and axis:
        words = {_word(key): value for key, value in axis.items()}
        if len(words) < len(axis):
            raise ValueError("words must differ as texts; 8 and '8' are one, null and '' are one")
        return words
    if not isinstance(axis, list | tuple) or not axis:
        raise ValueError("give a list of values, or a mapping of words for the names to values")
    if any(isinstance(value, Mapping | list) for value in axis):
        raise ValueError(
            "a value with options needs a word for the names of its methods; give a mapping of "
            "words to values"
        )
    words = {_word(value): value for value in axis}
    if len(words) < len(axis):
        raise ValueError("values must not repeat")
    return words


def _word(value: Any) -> str:
    return "" if value is None else str(value)


Grid: Any = create_model(
    "Grid",
    __base__=Section,
    __doc__="What the methods of one entry differ in: keys of a method, each with several values.",
    **{key: _axis(key) for key in AXES},
)


class MethodEntry(Method):
    """An entry of `methods`: a method, or with `grid` several."""

    name: str | None = Field(
        None,
        min_length=1,
        description="names of a grid's methods, in which `{method}` stands for the entry's name "
        "and `{KEY}` for the word of that key's value, as in `{method}_{quantization}`; null for "
        "all of them in the grid's order with `_` between them",
    )
    grid: Grid | None = Field(
        None,
        description="keys of a method, each with a list of values or a mapping of words to values; "
        "the entry stands for one method for every combination, of which the last key changes "
        "first",
    )


class MethodDefaults(Method):
    """What all methods have that do not say otherwise: any keys of a method, and options. The
    classification is of those methods alone that go by one."""

    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="options of parts by the part's name, as in `spon: {steps: 150}`, for all "
        "methods that have the part and do not give that option",
    )

    @field_validator("options")
    @classmethod
    def _known_options(cls, parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        kinds = {name: kind for kind, registry in PARTS.items() for name in registry}
        for name, options in parts.items():
            if name not in kinds:
                raise UserError(unknown_name("part of a method", name, kinds))
            check_options(kinds[name], name, options)
        return parts


class WrittenStudy(StudySections):
    """A study as a file writes it."""

    methods: dict[Name, MethodEntry] = Field(min_length=1)
    method_defaults: MethodDefaults | None = Field(None)


def stands_elsewhere(values: Mapping[str, Any], place: tuple[Any, ...]) -> bool:
    """True where a key may be missing at a place: anywhere in `method_defaults`, and in a method
    whose grid holds the key, or that gets it from the defaults."""
    if place[0] == "method_defaults":
        return True
    if place[0] != "methods" or len(place) != 3:
        return False
    # Whatever is out of form holds no key, and is refused by itself.
    entry = values["methods"].get(place[1])
    grid = entry.get("grid") if isinstance(entry, Mapping) else None
    holders = (grid, values.get("method_defaults"))
    return any(isinstance(each, Mapping) and place[2] in each for each in holders)


def write_out(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A study's values, of the form of a WrittenStudy, with each method's keys in an entry of its
    own; and the entry that each of these was made from. The order is that of the entries, and
    within a grid that of its values.

    UserError where names do not come out right.
    """
    values = dict(values)
    defaults = dict(values.pop("method_defaults", None) or {})
    options = defaults.pop("options", {})
    methods: dict[str, Any] = {}
    entries: dict[str, str] = {}
    for entry, written in values["methods"].items():
        for name, method in _methods_of(entry, written):
            if name in methods:
                raise UserError(_twice(name, entry, entries[name]))
            methods[name] = _with_options(defaults | method, options)
            if "classification" not in method and not _goes_by_classes(methods[name]):
                methods[name]["classification"] = None
            entries[name] = entry
    return values | {"methods": methods}, entries


def _methods_of(entry: str, written: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and keys of each method that an entry stands for."""
    method = {key: value for key, value in written.items() if key not in ("grid", "name")}
    grid, template = written.get("grid"), written.get("name")
    if not grid:
        if template is not None:
            raise UserError(
                f"methods.{entry}.name: it names the methods of a grid, and this entry has none; "
                "the entry's own name is the method's"
            )
        yield entry, method
        return
    if both := sorted(set(grid) & set(method)):
        raise UserError(f"methods.{entry}.{both[0]}: its grid holds that key too; remove one")
    axes = {key: words_of(values) for key, values in grid.items()}
    template = template or "_".join(f"{{{key}}}" for key in (ENTRY, *axes))
    if unknown := sorted(set(re.findall(r"\{(.*?)\}", template)) - {ENTRY, *axes}):
        raise UserError(
            f"methods.{entry}.name: {{{unknown[0]}}} stands for nothing; there are "
            + ", ".join(f"{{{key}}}" for key in (ENTRY, *axes))
        )
    if (many := math.prod(map(len, axes.values()))) > MOST_METHODS:
        raise UserError(
            f"methods.{entry}.grid: it stands for {many:,} methods, and {MOST_METHODS:,} are the "
            "most; give fewer values, or make several studies"
        )
    for pairs in product(*(words.items() for words in axes.values())):
        words = {key: word for key, (word, _) in zip(axes, pairs, strict=True)}
        chosen = {key: value for key, (_, value) in zip(axes, pairs, strict=True)}
        yield name_of(template, {ENTRY: entry, **words}), method | chosen


def name_of(template: str, words: Mapping[str, str]) -> str:
    """A template with the words of its keys. With an empty word goes the mark before it, or where
    it stands first the mark after it."""
    for key, word in words.items():
        place = re.escape(f"{{{key}}}")
        if word:
            template = template.replace(f"{{{key}}}", word)
        else:
            template = re.sub(rf"^{place}{_MARK}?|{_MARK}?{place}", "", template)
    return template


def _twice(name: str, entry: str, other: str) -> str:
    if entry == other:
        return (
            f"methods.{entry}: two methods of its grid are named {name!r}; let `name` hold every "
            "key of the grid in braces, and give other words to values that share one"
        )
    return f"methods.{entry}: {other} makes a method named {name!r}, too; rename one of them"


def _goes_by_classes(method: Mapping[str, Any]) -> bool:
    """True where a method's sparsifier goes by what is hot and cold, and where it is out of form,
    so that it is refused for that."""
    part = method.get("sparsifier")
    if part is None:
        return False
    options = flat(part) if isinstance(part, Mapping) else {"name": part}
    try:
        entry = PARTS["sparsifier"].load(options.pop("name"))
        chosen = entry.Options.model_validate(options).model_dump()
    except (KeyError, UserError, ValidationError):
        return True
    return bool(entry.needs_classification(chosen))


def _with_options(method: dict[str, Any], options: Mapping[Any, Any]) -> dict[str, Any]:
    """A method whose parts have the options that all methods share, unless they give their own."""
    for kind in PARTS:
        part = method.get(kind)
        written = flat(part) if isinstance(part, Mapping) else {"name": part}
        if shared := options.get(written["name"]):
            method[kind] = {**shared, **written}
    return method
