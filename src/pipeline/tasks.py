"""Evaluation tasks: lm-evaluation-harness YAML with items in a JSONL file beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline import jsonl
from pipeline.digest import SOURCE_ROOT, of_bytes, of_file, of_value
from pipeline.errors import UserError
from pipeline.registry import unknown_name

BUILTIN_TASKS = SOURCE_ROOT.parent / "resources" / "tasks"


@dataclass(frozen=True)
class Task:
    """One task file. Items are the lines of `dataset_kwargs.data_files.test`, relative to it.

    `metadata` says whether the task needs reasoning and which item field counts its steps.
    """

    path: Path

    @cached_property
    def definition(self) -> dict[str, Any]:
        """The YAML as a mapping."""
        import yaml

        loaded = yaml.safe_load(self.path.read_text())
        if not isinstance(loaded, dict) or "task" not in loaded or "dataset_kwargs" not in loaded:
            raise UserError(
                f"{self.path}: not a task file; it needs `task`, and the item file under "
                "`dataset_kwargs: {data_files: {test: FILE.jsonl}}`"
            )
        return loaded

    @property
    def name(self) -> str:
        """Name in results."""
        return str(self.definition["task"])

    @property
    def reasoning(self) -> bool:
        """False for controls."""
        return bool(self.definition.get("metadata", {}).get("reasoning", True))

    def steps(self, item: Mapping[str, Any]) -> int:
        """Reasoning steps of an item; 0 where the task does not record them."""
        return int(item.get(self.definition.get("metadata", {}).get("steps", "steps"), 0))

    def items(self, split: str = "test") -> list[dict[str, Any]]:
        """All items of a split; UserError when there is none."""
        path = self._data_file(split)
        items = [item for _, item in jsonl.rows(path)]
        if not items:
            raise UserError(f"task {self.name}: {path.name} has no items")
        return items

    def targets(self) -> list[dict[str, Any]]:
        """Task name, step count and right answer of every test item, which chance is made of."""
        return [
            {"task": self.name, "steps": self.steps(i), "target": self.text(i, "doc_to_target")}
            for i in self.items()
        ]

    def text(self, item: Mapping[str, Any], field: str = "doc_to_text") -> str:
        """An item's prompt (or, with `doc_to_target`, its target) by the task's template."""
        from jinja2 import Template

        template = str(self.definition[field])
        return str(item[template]) if template in item else Template(template).render(**item)

    def identity(self, split: str = "test") -> str:
        """Digest of the task file and of a split's items."""
        return of_value([of_bytes(self.path.read_bytes()), of_file(self._data_file(split))])

    def _data_file(self, split: str) -> Path:
        files = self.definition["dataset_kwargs"].get("data_files", {})
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


def find(name: str) -> Task:
    """A built-in task by name, or the task file at a path ending in .yaml."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else BUILTIN_TASKS / f"{name}.yaml"
    if not path.is_file():
        known = [p.stem for p in BUILTIN_TASKS.glob("*.yaml")]
        raise UserError(unknown_name("task", name, known))
    return Task(path)
