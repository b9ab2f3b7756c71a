"""Evaluation tasks: lm-evaluation-harness YAML with items in a JSONL file beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, at, unknown_name
from pipeline.store import jsonl, plain_yaml
from pipeline.store.digest import SOURCE_ROOT, of_bytes, of_file, of_value
from pipeline.tasks import format as task_format
from pipeline.tasks import templates
from pipeline.tasks.format import Form

BUILTIN_TASKS = SOURCE_ROOT.parent / "resources" / "tasks"
#: What the tables' column holds.
_MOST_STEPS = 2**31 - 1


@dataclass(frozen=True)
class Task:
    """One task file. Items are the lines of `dataset_kwargs.data_files.test`, relative to it.

    `metadata` says whether the task needs reasoning, which item field counts its steps, and what
    items that belong together have in common.
    """

    path: Path

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The YAML as a mapping; UserError when it is not one, or does not name the task and its
        items."""
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

        UserError, with file and line, unless the task has one of the supported forms and its
        templates fit every item.
        """
        with at(f"task {self.name}: {self.path.name}"):
            task_format.check(self.definition)
            for field in self._templates:
                self._template(field)
            if self.form is Form.TEXT and self._metadata().get("cluster") is not None:
                raise UserError(
                    "metadata.cluster: texts are taken each by itself in intervals; make those "
                    "that belong together one item, or leave the key out"
                )
        path, rows = self._data_file("test"), self._rows("test")
        for number, item in rows:
            with at(f"task {self.name}: {path.name}, line {number}"):
                self.steps(item)
                self.cluster(item)
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
        """How the task asks its questions; UserError for a form that is not supported."""
        return task_format.form_of(self.definition)

    @property
    def reasoning(self) -> bool:
        """False for controls; texts are controls unless their metadata says otherwise."""
        given: bool = self._metadata().get("reasoning", self.form is not Form.TEXT)
        return given

    @property
    def filters(self) -> list[dict[str, Any]]:
        """The steps by which an answer is read from a response; none where the whole response
        counts."""
        return task_format.filters(self.definition)

    @property
    def generation(self) -> dict[str, Any]:
        """How an answer is written: `until`, a list of texts, `max_gen_toks` and `do_sample`."""
        return task_format.generation(self.definition)

    def steps(self, item: Mapping[str, Any]) -> int:
        """Reasoning steps of an item, by the field that the task's metadata names; 0 where it names
        none, or the item lacks the field."""
        field = self._metadata().get("steps")
        steps = 0 if field is None else item.get(field, 0)
        if type(steps) is not int or not 0 <= steps <= _MOST_STEPS:
            raise UserError(
                f"{field}, the number of steps, is {steps!r}; give a whole number from 0, or name "
                "no field: metadata.steps null"
            )
        return steps

    def cluster(self, item: Mapping[str, Any]) -> str:
        """The cluster of an item, equal for items that belong together: what the template in the
        task's metadata gives, or the item itself, so that only repeated items form a cluster."""
        template = self._metadata().get("cluster")
        if template is None:
            return of_value(item)
        with at(f"task {self.name}: metadata.cluster"):
            return templates.filled(templates.compiled(template), item)

    def items(self, split: str = "test") -> list[dict[str, Any]]:
        """All items of a split; UserError when there is none."""
        return [item for _, item in self._rows(split)]

    def targets(self) -> list[dict[str, Any]]:
        """Task name, step count and right answer (for choices, its place) of every test item, from
        which chance is computed; none for texts, which have no answer."""
        if self.form is Form.TEXT:
            return []
        return [
            {"task": self.name, "steps": self.steps(i), "target": self._right_answer(i)}
            for i in self.items()
        ]

    def question(self, item: Mapping[str, Any]) -> str:
        """The part of an item that must not be in a calibration corpus: the prompt, or the whole of
        a text."""
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
        with at("doc_to_choice"):
            choices = [templates.as_text(choice) for choice in listed]
        if not all(choices):
            raise UserError(f"the choices are {choices}; give none that is empty")
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

    def notes(self) -> list[str]:
        """What is odd about the task's items but accepted, one sentence each."""
        if self.form is not Form.CHOICE:
            return []
        equal = [n for n, item in self._rows("test") if _repeats(self.choices(item)[0])]
        if not equal:
            return []
        return [
            f"task {self.name}: {self._data_file('test').name}: items with equal choices: "
            f"{len(equal)}, the first in line {equal[0]}; of equal choices the first is chosen, as "
            "by lm-evaluation-harness"
        ]

    def _check_places(self, file: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Refuse answers that are read as places where they look like the choices' texts.

        A number that names a place may also be one of the choices now and then; if it is on every
        item, and stands for a different choice on some, the texts were probably meant.
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
        return task_format.metadata(self.definition)

    def _filled(self, item: Mapping[str, Any], field: str) -> str:
        """The field that the template names, or else the template with the item's fields in."""
        template, text = self._template(field), self.definition[field]
        try:
            if text in item:
                return templates.as_text(item[text])
            if text.isidentifier():
                raise UserError(f"no field {text!r}")
            return templates.filled(template, item)
        except UserError as error:
            raise UserError(f"{field}: {error}; the item has: {', '.join(item)}") from error

    def _template(self, field: str) -> Any:
        text = self.definition.get(field)
        if not isinstance(text, str):
            raise UserError(f"{field} is {text!r}; give a template, or the name of a field")
        with at(field):
            return templates.compiled(text)

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


def _repeats(choices: Sequence[str]) -> bool:
    return len(set(choices)) < len(choices)


def find(name: str) -> Task:
    """A built-in task by name, or the task file at a path ending in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILTIN_TASKS / f"{name}.yaml"
    if not path.is_file():
        if path.parent != BUILTIN_TASKS:
            raise UserError(f"task file {name} does not exist")
        known = [p.stem for p in BUILTIN_TASKS.glob("*.yaml")]
        raise UserError(unknown_name("task", name, known))
    return Task(path)
