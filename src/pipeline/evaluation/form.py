"""Whether a response holds an answer at all, by the task's own way to read it."""

from collections.abc import Mapping, Sequence
from typing import Any

#: Stands for an answer that was not found; no step changes it, and no response holds it.
_NONE = "\0"
#: Steps that look for an answer -> their argument for what to return when they find none.
_LOOKING = {"regex": "fallback", "map": "default_value"}


def in_form(filters: Sequence[Mapping[str, Any]], response: str) -> bool | None:
    """True where the steps of `tasks.Task.filters` find an answer in the response; None where none
    of them looks for one, so that every response is an answer.

    The harness's own steps run once more here, since what they return for no answer, `[invalid]` by
    default, might also be written by the model.
    """
    from lm_eval.api.registry import get_filter

    if not any(step["function"] in _LOOKING for step in filters):
        return None
    found = [[response]]
    for step in filters:
        name = step["function"]
        arguments = {key: value for key, value in step.items() if key != "function"}
        if name in _LOOKING:
            arguments[_LOOKING[name]] = _NONE
        found = list(get_filter(name)(**arguments).apply(found, [{}]))
    return found[0] not in ("", _NONE)
