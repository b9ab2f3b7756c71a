"""Why a configuration is refused, key by key, in words for whoever wrote it."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from pipeline.config.base import SHA256, Name
from pipeline.config.models import DEVICE, PLACE, SIZE
from pipeline.errors import UserError

#: What to give where a value is of the wrong kind, in YAML's words.
_FORMS = {
    "tuple_type": "a list, in brackets",
    "dict_type": "a mapping of names to their keys",
    "model_type": "keys and values",
}
#: What to give where a text does not match its pattern.
_PATTERNS = {
    TypeAdapter(Name).json_schema()["pattern"]: "a name is letters, digits and . _ + -, without "
    "spaces, and starts with a letter or a digit",
    SHA256: "give the 64 hexadecimal digits of a SHA-256",
    DEVICE: "give cpu, cuda, or cuda:1 for the second GPU",
    PLACE: "give cpu, or the number of a GPU in quotes",
    SIZE: "give a number and KB, MB, GB, TB, KiB, MiB, GiB or TiB, for instance 16GiB",
}
#: Characters of a refused value that are shown.
_SHOWN = 200

Problem = Mapping[str, Any]


def read_section(kind: type[BaseModel], values: Mapping[str, Any], name: str) -> Any:
    """The values as a section, outside a study; UserError, with the key, says what is refused."""
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        problems = causes(error.errors(include_url=False))
        raise UserError(f"{name}: {'; '.join(explain(p, kind) for p in problems)}") from None


def causes(problems: Sequence[Any]) -> list[Any]:
    """The problems, without those that only follow from a problem further in: a list loses its
    refused members, and may then be reported as too short."""
    inner = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["loc"] not in inner]


def explain(problem: Problem, model: type[BaseModel]) -> str:
    """One line for a problem that pydantic found in the keys of a `model`: where, what was given,
    and what is allowed."""
    # The path holds a refused name of an entry, followed by this.
    where = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        known = _keys_at(problem["loc"][:-1], model)
        return f"{where}: unknown key. " + _nearest(str(problem["loc"][-1]), known)
    if problem["type"] == "missing":
        shared = problem["loc"][0] == "methods" and len(problem["loc"]) == 3
        hint = ", and method_defaults does not hold it" if shared else ""
        return f"{where}: this key is missing{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in _FORMS:
        message = f"give {_FORMS[problem['type']]}"
    if problem["type"] == "string_pattern_mismatch":
        message = _PATTERNS.get(problem["ctx"]["pattern"], message)
    if not where:
        return message
    if message.startswith("unknown "):
        # This message names the value itself.
        return f"{where}: {message}"
    return f"{where}: {_shown(problem['input'])} is refused: {message}"


def _shown(value: Any) -> str:
    """A value as it was given, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python refuses to print a whole number of more than 4,300 digits.
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Allowed: {', '.join(known)}"


def _keys_at(location: tuple[Any, ...], model: Any) -> list[str]:
    """Keys allowed in the section at `location`; names inside mappings are passed over."""
    parts = iter(location)
    for part in parts:
        model = model.model_fields[str(part)].annotation
        if get_origin(model) is dict:
            next(parts, None)
            model = get_args(model)[1]
        elif get_args(model):
            # A type that is a section or null.
            model = get_args(model)[0]
    return sorted(model.model_fields)
