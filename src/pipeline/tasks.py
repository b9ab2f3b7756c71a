"""Evaluation tasks: lm-evaluation-harness YAML with items in a JSONL file beside it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline import jsonl, plain_yaml
from pipeline.digest import SOURCE_ROOT, of_bytes, of_file, of_value
from pipeline.errors import UserError, at
from pipeline.registry import unknown_name

BUILTIN_TASKS = SOURCE_ROOT.parent / "resources" / "tasks"


class Form(StrEnum):
    """How a task asks, by the harness' name for it."""

    ANSWER = "generate_until"
    CHOICE = "multiple_choice"
    TEXT = "loglikelihood_rolling"


#: The metrics that a task of each form may name; the first is what its items are scored by.
METRICS = {
    Form.ANSWER: ("exact_match",),
    Form.CHOICE: ("acc",),
    Form.TEXT: ("word_perplexity", "byte_perplexity", "bits_per_byte"),
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
#: Options of generation that a task may give.
_GREEDY = {"do_sample", "max_gen_toks", "until"}


@dataclass(frozen=True)
class Task:
    """One task file. Items are the lines of `dataset_kwargs.data_files.test`, relative to it.

    `metadata` says whether the task needs reasoning and which item field counts its steps.
    """

    path: Path

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The YAML as a mapping; UserError when it is none, or names neither task nor items."""
        loaded = plain_yaml.read(self.path)
        named = isinstance(loaded, dict) and isinstance(loaded.get("task"), str)
        if not named or "dataset_kwargs" not in loaded:
            raise UserError(
                f"{self.path}: not a task file; it needs `task`, a name, and the item file under "
                "`dataset_kwargs: {data_files: {test: FILE.jsonl}}`"
            )
        return loaded

    def check(self) -> None:
        """Read the task and its test items once, before anything is computed.

        UserError, with file and line, unless it is of one of the forms and its templates fit every
        item.
        """
        with at(f"task {self.name}: {self.path.name}"):
            self._metadata()
            _check_keys(self.definition, self.form)
            _check_scoring(self.definition, self.form)
            if self.form is Form.ANSWER:
                _check_filters(self.definition)
                _check_generation(self.definition)
            for field in self._templates:
                self._template(field)
        path, rows = self._data_file("test"), self._rows("test")
        for number, item in rows:
            with at(f"task {self.name}: {path.name}, line {number}"):
                self.steps(item)
                for field in self._templates:
                    self._filled(item, field)
                if self.form is Form.CHOICE:
                    self.choices(item)
                    if not self.question(item).strip():
                        raise UserError("doc_to_text gives no prompt")
                if self.form is Form.TEXT and not self.question(item).strip():
                    raise UserError("doc_to_target gives no text")
        if self.form is Form.CHOICE:
            self._check_places(path.name, rows)
        counted = self._metadata().get("steps")
        if counted is not None and not any(counted in item for _, item in rows):
            raise UserError(
                f"task {self.name}: {self.path.name}: metadata.steps is {counted!r}, and no item "
                f"of {path.name} has that field; name another, or leave the key out"
            )

    @property
    def name(self) -> str:
        """Name in results."""
        return str(self.definition["task"])

    @property
    def form(self) -> Form:
        """How it asks; UserError for a form that is not taken."""
        given = self.definition.get("output_type")
        if not isinstance(given, str) or given not in set(Form):
            raise UserError(f"output_type is {given!r}; give {', '.join(Form)}")
        return Form(given)

    @property
    def reasoning(self) -> bool:
        """False for controls; texts need none unless their metadata says so."""
        return bool(self._metadata().get("reasoning", self.form is not Form.TEXT))

    def steps(self, item: Mapping[str, Any]) -> int:
        """Reasoning steps of an item; 0 where the task does not record them."""
        field = self._metadata().get("steps", "steps")
        try:
            return int(item.get(field, 0))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"{field}, the number of steps, is {item[field]!r}; give a whole number"
            ) from error

    def items(self, split: str = "test") -> list[dict[str, Any]]:
        """All items of a split; UserError when there is none."""
        return [item for _, item in self._rows(split)]

    def targets(self) -> list[dict[str, Any]]:
        """Task name, step count and right answer (of choices: its place) of every test item, which
        chance is made of; none for texts, which have no answer."""
        if self.form is Form.TEXT:
            return []
        return [
            {"task": self.name, "steps": self.steps(i), "target": self._right_answer(i)}
            for i in self.items()
        ]

    def question(self, item: Mapping[str, Any]) -> str:
        """What must not stand in a calibration corpus: the prompt, or of a text all of it."""
        return self.text(item, "doc_to_target" if self.form is Form.TEXT else "doc_to_text")

    def choices(self, item: Mapping[str, Any]) -> tuple[list[str], int]:
        """(choices, place of the right one) of a multiple-choice item; UserError when it has
        none."""
        given = self.definition.get("doc_to_choice")
        listed = item.get(given) if isinstance(given, str) else given
        if not isinstance(listed, list) or len(listed) < 2:
            raise UserError(
                f"doc_to_choice is {given!r}; give a list of two or more choices, or the name of a "
                f"field that holds one; the item has: {', '.join(item)}"
            )
        choices = [str(choice) for choice in listed]
        if not all(choices) or len(set(choices)) < len(choices):
            raise UserError(f"the choices are {choices}; give different ones, none of them empty")
        # As the harness reads it: a field holds a place as a number or a choice's text, and what a
        # template gives is a place if it is a number.
        named = self.text(item, "doc_to_target")
        field = item.get(str(self.definition["doc_to_target"]))
        is_text = named in choices and type(field) is not int
        if named.isdecimal() and not (isinstance(field, str) and is_text):
            place = int(named)
        else:
            place = choices.index(named) if is_text else len(choices)
        if place >= len(choices):
            raise UserError(
                f"doc_to_target is {named!r}; give one of the choices, or its place from 0 as a "
                f"number: {choices}"
            )
        return choices, place

    def _check_places(self, file: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Refuse answers that are read as places where they look like the choices' texts.

        A number that names a place stands among the choices now and then; when it does so on every
        item, and means another choice on some, the texts were meant.
        """
        read_otherwise = []
        for number, item in rows:
            (choices, place), named = self.choices(item), self.text(item, "doc_to_target")
            if named not in choices:
                return
            if choices[place] != named:
                read_otherwise.append((number, named, choices))
        if read_otherwise:
            number, named, choices = read_otherwise[0]
            raise UserError(
                f"task {self.name}: {file}, line {number}: doc_to_target {named!r} is a number, so "
                f"it is read as a place, from 0, and means {choices[int(named)]!r}; on every item "
                f"it is a choice's text as well ({choices}). Name a field that holds the right "
                "choice's text in quotes, which can be read in one way only"
            )

    def _right_answer(self, item: Mapping[str, Any]) -> str:
        if self.form is Form.CHOICE:
            return str(self.choices(item)[1])
        return self.text(item, "doc_to_target")

    @property
    def _templates(self) -> tuple[str, ...]:
        """Keys that hold templates; a text has no prompt."""
        return ("doc_to_target",) if self.form is Form.TEXT else ("doc_to_text", "doc_to_target")

    def text(self, item: Mapping[str, Any], field: str = "doc_to_text") -> str:
        """An item's prompt (or, with `doc_to_target`, its target) by the task's template."""
        with at(f"task {self.name}"):
            return self._filled(item, field)

    def identity(self, split: str = "test") -> str:
        """Digest of the task file and of a split's items."""
        return of_value([of_bytes(self.path.read_bytes()), of_file(self._data_file(split))])

    def _metadata(self) -> Mapping[str, Any]:
        given = self.definition.get("metadata") or {}
        if not isinstance(given, dict):
            raise UserError(f"metadata is {given!r}; give {{reasoning: true, steps: FIELD}}")
        return given

    def _filled(self, item: Mapping[str, Any], field: str) -> str:
        """The field that the template names, or else the template with the item's fields in."""
        from jinja2 import TemplateError

        template = self._template(field)
        text = self.definition[field]
        if text in item:
            return str(item[text])
        try:
            if text.isidentifier():
                raise LookupError(f"no field {text!r}")
            return str(template.render(item))
        except (TemplateError, TypeError, ValueError, LookupError) as error:
            raise UserError(f"{field}: {error}; the item has: {', '.join(item)}") from error

    def _template(self, field: str) -> Any:
        from jinja2 import TemplateError

        text = self.definition.get(field)
        if not isinstance(text, str):
            raise UserError(f"{field} is {text!r}; give a template, or the name of a field")
        try:
            return _compiled(text)
        except TemplateError as error:
            raise UserError(f"{field}: {text!r} is no template: {error}") from error

    def _rows(self, split: str) -> list[tuple[int, dict[str, Any]]]:
        """(line number, item) of a split; UserError when there is none."""
        path = self._data_file(split)
        with at(f"task {self.name}"):
            rows = list(jsonl.rows(path))
            if not rows:
                raise UserError(f"{path.name} has no items")
        return rows

    def _data_files(self) -> dict[str, str]:
        """Item file of each split."""
        given = self.definition["dataset_kwargs"]
        files = given.get("data_files", {}) if isinstance(given, dict) else None
        if not isinstance(files, dict) or not all(
            isinstance(split, str) and isinstance(name, str) for split, name in files.items()
        ):
            raise UserError(
                f"{self.path}: dataset_kwargs is {given!r}; give each split one file beside the "
                "task's: `{data_files: {test: FILE.jsonl}}`"
            )
        return files

    def _data_file(self, split: str) -> Path:
        files = self._data_files()
        if split not in files:
            raise UserError(
                f"task {self.name} has no {split} split; it has: {', '.join(files) or 'none'}"
            )
        path = self.path.parent / files[split]
        if not path.is_file():
            raise UserError(
                f"task {self.name}: item file {files[split]} is not beside {self.path.name}"
            )
        return path


def _check_keys(definition: Mapping[str, Any], form: Form) -> None:
    """A key of the harness that is passed over would change what is measured, unseen."""
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
    metrics = [
        m.get("metric") if isinstance(m, dict) else m
        for m in (given if isinstance(given, list) else [given])
    ]
    allowed = METRICS[form]
    fits = metrics and all(isinstance(m, str) and m in allowed for m in metrics)
    if not fits or form is not Form.TEXT and len(metrics) > 1:
        raise UserError(
            f"metric_list is {given!r}; a task of the form {form} is scored by "
            f"{' or '.join(allowed)}: give [{{metric: {allowed[0]}}}]"
        )


def _check_filters(definition: Mapping[str, Any]) -> None:
    filters = definition.get("filter_list") or []
    if not isinstance(filters, list) or [type(f) for f in filters] not in ([], [dict]):
        raise UserError(
            f"filter_list is {filters!r}; give a list of one way to read an answer, or none"
        )
    steps = [step for way in filters for step in way.get("filter") or [] if isinstance(step, dict)]
    for pattern in [step["regex_pattern"] for step in steps if "regex_pattern" in step]:
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UserError(f"regex_pattern {pattern!r} is no expression: {error}") from error


def _check_generation(definition: Mapping[str, Any]) -> None:
    options = definition.get("generation_kwargs") or {}
    fits = isinstance(options, dict) and not set(options) - _GREEDY
    if not fits or options.get("do_sample"):
        raise UserError(
            f"generation_kwargs is {options!r}; answers are greedy, so it may hold do_sample: "
            f"false and {', '.join(sorted(_GREEDY - {'do_sample'}))} alone"
        )


@cache
def _compiled(text: str) -> Any:
    """A template, with the settings that the harness gives its own templates."""
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(text)


def find(name: str) -> Task:
    """A built-in task by name, or the task file at a path ending in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILTIN_TASKS / f"{name}.yaml"
    if not path.is_file():
        if path.parent != BUILTIN_TASKS:
            raise UserError(f"task file {name} does not exist")
        known = [p.stem for p in BUILTIN_TASKS.glob("*.yaml")]
        raise UserError(unknown_name("task", name, known))
    return Task(path)
