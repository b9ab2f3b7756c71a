"""What a job gives its script: named values cast by annotation, and its artifacts' manifest."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.store.artifacts import Manifest, input_digests

#: Params that say how a job is run or keyed, and are no part of what its artifact is.
_NOT_CONFIG = ("source", "seed", "folders", "profile_keys")
#: Key of the workflow's configuration under which the places of local files are, by name. They are
#: no params: where a file lies changes no result, so it must rerun nothing and enter no manifest.
PLACES = "places"
#: Inputs of these names are pieces of one whole, or checks that a job waits for; how the whole was
#: divided, and which checks there were, are no facts of the result.
_NO_FACTS = ("_shards", "_checks", "cleared")


def arguments(
    main: Callable[..., None], snakemake: Any, identity: str | None = None
) -> dict[str, Any]:
    """Keywords for `main` from a job; inputs shadow outputs, params and wildcards in that order.

    `identity` goes into the manifest. TypeError for a keyword that the rule does not name, and for
    a value that is not what the keyword's annotation says.
    """
    named: dict[str, Any] = {
        **dict(snakemake.wildcards.items()),
        **dict(snakemake.params.items()),
        **dict(snakemake.output.items()),
        **dict(snakemake.input.items()),
        "threads": snakemake.threads,
    }
    hints = typing.get_type_hints(main)
    values = {}
    for name in inspect.signature(main).parameters:
        if hints[name] is Manifest:
            values[name] = manifest(snakemake, identity)
        elif name in named:
            value = _placed(named[name], snakemake.config.get(PLACES, {}))
            values[name] = _cast(value, hints[name], name)
        else:
            raise TypeError(f"rule {snakemake.rule} names no {name!r}; it has {sorted(named)}")
    return values


def _placed(value: Any, places: Mapping[str, str]) -> Any:
    """`value` with the names of local places in it replaced by the places."""
    if isinstance(value, str):
        return places.get(value, value)
    if isinstance(value, dict):
        return {key: _placed(inner, places) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_placed(inner, places) for inner in value]
    return value


def manifest(snakemake: Any, identity: str | None = None) -> Manifest:
    """The manifest of a job's outputs; `identity` says which of a study's artifacts they are."""
    params = dict(snakemake.params.items())
    files = {
        name if isinstance(value, str) else f"{name}.{index}": Path(path)
        for name, value in snakemake.input.items()
        if not name.endswith(_NO_FACTS)
        for index, path in enumerate([value] if isinstance(value, str) else value)
    }
    model = params.get("model")
    return Manifest(
        rule=snakemake.rule,
        source=params["source"]["digest"],
        config={k: _plain(v) for k, v in params.items() if k not in _NOT_CONFIG},
        inputs=input_digests(files),
        versions=params["source"]["libraries"],
        seed=params.get("seed"),
        device=model.get("device", "cpu") if isinstance(model, dict) else "cpu",
        dtype=model.get("dtype") if isinstance(model, dict) else None,
        identity=identity,
    )


def _cast(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotation says; TypeError names the keyword when it does not fit."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or value is None:
        return value
    if origin is types.UnionType:
        (hint,) = (kind for kind in inner if kind is not type(None))
        return _cast(value, hint, name)
    if origin is list:
        items = [value] if isinstance(value, str) else list(value)
        return [_cast(item, inner[0], name) for item in items]
    if origin is dict or hint is dict:
        return dict(value)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint.model_validate(value)
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise TypeError(f"{name}: {value!r} is no bool")
    if hint in (Path, int, float, str):
        try:
            return hint(value)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name}: {value!r} is no {hint.__name__}") from error
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
