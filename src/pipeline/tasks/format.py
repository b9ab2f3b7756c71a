"""The keys of a task file: the part of lm-evaluation-harness's format that is supported, checked
before any job.

What the harness would ignore, or fail at during an evaluation, is refused here.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from pipeline.errors import UserError, at


class Form(StrEnum):
    """How a task asks its questions, by the harness's name for it."""

    ANSWER = "generate_until"
    CHOICE = "multiple_choice"
    TEXT = "loglikelihood_rolling"


#: The metrics that a task of each form may name, with how each is aggregated; the first is what its
#: items are scored by.
METRICS = {
    Form.ANSWER: {"exact_match": "mean"},
    Form.CHOICE: {"acc": "mean"},
    Form.TEXT: {
        "word_perplexity": "weighted_perplexity",
        "byte_perplexity": "weighted_perplexity",
        "bits_per_byte": "bits_per_byte",
    },
}
#: Keys that a task file may hold: those that are used, and those that change no answer.
_KEYS = {
    "task", "tag", "dataset_path", "dataset_kwargs", "test_split", "training_split",
    "validation_split", "output_type", "doc_to_text", "doc_to_target", "metric_list", "metadata",
    "num_fewshot",
}  # fmt: skip
_OWN_KEYS = {
    Form.ANSWER: {"generation_kwargs", "filter_list"},
    Form.CHOICE: {"doc_to_choice"},
    Form.TEXT: set(),
}
#: The harness's generation options for a task that names none, and the longest answer that may be
#: asked for, in tokens.
GENERATION: Mapping[str, Any] = {"until": ("\n\n",), "max_gen_toks": 256, "do_sample": False}
LONGEST = 1 << 17

#: Kinds of values: a function that says whether a value is of the kind, and the kind in words.
_Kind = tuple[Callable[[Any], bool], str]


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _only(word: str) -> _Kind:
    return lambda value: value == word, word


def _is_expression(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return isinstance(value, str)


_TEXT: _Kind = (_is(str), "a text")
_TRUTH: _Kind = (_is(bool), "true or false")
_EXPRESSION: _Kind = (_is_expression, "a regular expression")
#: The steps by which an answer is read, with their arguments. The harness's other steps need a
#: function, several responses or fields of the item, or give no text.
FILTERS: Mapping[str, Mapping[str, _Kind]] = {
    "regex": {
        "regex_pattern": _EXPRESSION,
        # At any other index there may be no match, and the harness then fails on that answer.
        "group_select": (lambda value: type(value) is int and value in (0, -1), "0 or -1"),
        "fallback": _TEXT,
    },
    "remove_whitespace": {},
    "lowercase": {},
    "uppercase": {},
    "format_span": {},
    "map": {
        "mapping_dict": (
            lambda value: isinstance(value, dict) and all(map(_TEXT[0], [*value, *value.values()])),
            "a mapping of texts to texts",
        ),
        "default_value": _TEXT,
    },
    "take_first": {},
}
#: Arguments that a step cannot do without.
_NEEDED = {"map": {"mapping_dict", "default_value"}}
_OF_METRICS: Mapping[str, Mapping[str, _Kind]] = {
    "exact_match": {
        "ignore_case": _TRUTH,
        "ignore_punctuation": _TRUTH,
        "ignore_numbers": _TRUTH,
        "regexes_to_ignore": (
            lambda value: isinstance(value, list) and all(map(_is_expression, value)),
            "a list of regular expressions",
        ),
    },
}
_METADATA: Mapping[str, _Kind] = {
    "reasoning": _TRUTH,
    "steps": (_is(str, type(None)), "the name of a field, or null"),
    "cluster": (_is(str, type(None)), "a template that items which belong together write alike"),
    "version": (lambda value: True, "anything"),
}


def check(definition: Mapping[str, Any]) -> None:
    """UserError, with the key, unless every key is supported and has an allowed value."""
    form = form_of(definition)
    _check_keys(definition, form)
    metadata(definition)
    _check_scoring(definition, form)
    if form is Form.ANSWER:
        filters(definition)
        generation(definition)


def form_of(definition: Mapping[str, Any]) -> Form:
    """How a task asks its questions; UserError for a form that is not supported."""
    given = definition.get("output_type")
    if not isinstance(given, str) or given not in set(Form):
        raise UserError(f"output_type is {given!r}; give {', '.join(Form)}")
    return Form(given)


def metadata(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The task's metadata; UserError unless its values are of their types."""
    given = definition.get("metadata") or {}
    if not isinstance(given, dict):
        raise UserError(f"metadata is {given!r}; give {{reasoning: true, steps: FIELD}}")
    _check_arguments("metadata", given, _METADATA)
    return given


def filters(definition: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps by which the task reads an answer from a response; none where the whole response
    counts."""
    given = definition.get("filter_list") or []
    if not isinstance(given, list) or [type(way) for way in given] not in ([], [dict]):
        raise UserError(
            f"filter_list is {given!r}; give a list of one way to read an answer, or none"
        )
    if not given:
        return []
    (way,) = given
    steps = way.get("filter")
    if set(way) != {"name", "filter"} or not isinstance(way["name"], str) or not _are_steps(steps):
        raise UserError(
            f"filter_list is {given!r}; give [{{name: NAME, filter: [{{function: FUNCTION}}]}}]"
        )
    for step in steps:
        _check_step(step)
    names = [step["function"] for step in steps]
    if "take_first" in names[:-1] or names[-1] != "take_first":
        raise UserError(
            f"filter_list: the steps are {', '.join(names)}; take_first, which makes one text of "
            "them, has to be the last step, and no other"
        )
    return steps


def _are_steps(steps: Any) -> bool:
    return isinstance(steps, list) and bool(steps) and all(map(_is(dict), steps))


def _check_step(step: Mapping[str, Any]) -> None:
    name = step.get("function")
    if not isinstance(name, str) or name not in FILTERS:
        raise UserError(
            f"filter_list: the function is {name!r}; there are {', '.join(sorted(FILTERS))}"
        )
    arguments = {key: value for key, value in step.items() if key != "function"}
    _check_arguments(f"filter_list: {name}", arguments, FILTERS[name])
    if missing := _NEEDED.get(name, set()) - set(arguments):
        raise UserError(f"filter_list: {name} needs {' and '.join(sorted(missing))}")


def generation(definition: Mapping[str, Any]) -> dict[str, Any]:
    """`until`, a list of texts, `max_gen_toks` and `do_sample` of a task's written answers."""
    given = definition.get("generation_kwargs")
    given = {} if given is None else given
    if not isinstance(given, dict) or set(given) - set(GENERATION):
        raise UserError(f"generation_kwargs is {given!r}; {_GREEDY}")
    options = {**GENERATION, **given}
    if options["do_sample"] is not False:
        raise UserError(f"generation_kwargs: do_sample is {options['do_sample']!r}; {_GREEDY}")
    until = options["until"]
    texts = [until] if isinstance(until, str) else until
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"generation_kwargs: until is {until!r}; give the texts that end an answer, [] for "
            "none but the model's own end"
        )
    if "" in texts:
        raise UserError(
            f"generation_kwargs: until is {until!r}; an empty text would end every answer at once: "
            "leave it out"
        )
    most = options["max_gen_toks"]
    if type(most) is not int or not 1 <= most <= LONGEST:
        raise UserError(
            f"generation_kwargs: max_gen_toks is {most!r}; give the tokens that an answer may "
            f"have, a whole number from 1 to {LONGEST:,}, or leave it out for "
            f"{GENERATION['max_gen_toks']}"
        )
    return {**options, "until": list(texts)}


_GREEDY = "answers are greedy, so it may hold do_sample: false and max_gen_toks, until alone"


def _check_keys(definition: Mapping[str, Any], form: Form) -> None:
    """Refuse unknown keys: one that the harness knows but this pipeline ignores would silently
    change what is measured."""
    known = _KEYS | _OWN_KEYS[form]
    unknown = sorted(str(key) for key in set(definition) - known)
    if definition.get("num_fewshot"):
        unknown.append("num_fewshot")
    if unknown:
        raise UserError(
            f"{', '.join(unknown)}: not used here; this pipeline asks every question alone, and a "
            f"task of the form {form} takes: {', '.join(sorted(known))} (num_fewshot: 0)"
        )
    if form is Form.TEXT and definition.get("doc_to_text"):
        raise UserError(f"doc_to_text is {definition['doc_to_text']!r}; a text has no prompt")


def _check_scoring(definition: Mapping[str, Any], form: Form) -> None:
    split = definition.get("test_split")
    if split != "test":
        raise UserError(f"test_split is {split!r}; the test items are evaluated: give test")
    given = definition.get("metric_list")
    allowed = METRICS[form]
    metrics = given if isinstance(given, list) else [given]
    names: list[Any] = [m.get("metric") if isinstance(m, dict) else None for m in metrics]
    fits = names and all(isinstance(name, str) and name in allowed for name in names)
    if not fits or form is not Form.TEXT and len(names) > 1:
        raise UserError(
            f"metric_list is {given!r}; a task of the form {form} is scored by "
            f"{' or '.join(allowed)}: give [{{metric: {next(iter(allowed))}}}]"
        )
    for name, metric in zip(names, metrics, strict=True):
        kinds = {"metric": _TEXT, "aggregation": _only(allowed[name]), "higher_is_better": _TRUTH}
        _check_arguments(f"metric_list: {name}", metric, {**kinds, **_OF_METRICS.get(name, {})})


def _check_arguments(where: str, given: Mapping[Any, Any], kinds: Mapping[str, _Kind]) -> None:
    """UserError unless every value given is of the kind that its name stands for."""
    with at(where):
        for name, value in given.items():
            if name not in kinds:
                known = ", ".join(kinds) or "nothing"
                raise UserError(f"{name!r} is not used here; it takes {known}")
            fits, words = kinds[name]
            if not fits(value):
                raise UserError(f"{name} is {value!r}; give {words}")
