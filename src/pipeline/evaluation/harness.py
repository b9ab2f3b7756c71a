"""The one place that talks to lm-evaluation-harness (0.4.13).

No response cache and no request cache are ever used: neither is keyed by the model's weights or by
the items' content, so a pruned model would be given the dense model's answers. The batch size goes
to HFLM itself, since `simple_evaluate` ignores it for a model object, and `evaluate` is called
instead of `simple_evaluate`, which collects facts about the machine for seconds a call.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.digest import of_value
from pipeline.tasks import METRIC, Task


class Harness:
    """Evaluates tasks with one model; the task manager is made once and indexes no default task."""

    def __init__(self, model: Any, tokenizer: Any, batch_size: int) -> None:
        from lm_eval.tasks import TaskManager

        from pipeline.evaluation.generation import greedy_model

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._lm = greedy_model(model, tokenizer, batch_size)
        self._tasks = TaskManager(include_defaults=False)

    def ended(self) -> Any:
        """Which sequences of the batch at hand have ended, (sequences,) bool; None before one."""
        return self._lm.ended

    def samples(self, task: Task, limit: int | None) -> Iterator[dict[str, Any]]:
        """Rows of tables.samples.SAMPLES, in the order of the items.

        Greedy answers to the first `limit` items. Raises the UserErrors of Task.check.
        """
        from lm_eval.evaluator import evaluate

        task.check()
        items = task.items()
        loaded = self._tasks.load([_definition(task, items)])
        result = evaluate(
            self._lm, loaded, limit=limit, bootstrap_iters=1, log_samples=True, verbosity="ERROR"
        )
        if result is None:
            raise RuntimeError("the harness returned no result; it runs on rank 0 only")
        for sample in sorted(result["samples"][task.name], key=lambda s: s["doc_id"]):
            yield _row(task, items[sample["doc_id"]], sample)


def _definition(task: Task, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The task's YAML with prompts and targets as we filled them in, handed over in memory.

    A table of the raw items would give a column one type and turn the answer 3 into 3.0 where
    another answer is 2.5; and no dataset cache is written.
    """
    kept = {
        key: value
        for key, value in task.definition.items()
        if key not in ("dataset_path", "dataset_kwargs")
    }
    rows = [{"prompt": task.text(i), "target": task.text(i, "doc_to_target")} for i in items]
    named = {"doc_to_text": "prompt", "doc_to_target": "target"}
    return {**kept, **named, "custom_dataset": _in_memory(rows)}


def _in_memory(rows: list[dict[str, str]]) -> Callable[..., Any]:
    def dataset(**_metadata: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({"test": Dataset.from_list(rows)})

    return dataset


def _row(task: Task, item: dict[str, Any], sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": task.name,
        "item": sample["doc_id"],
        "item_hash": of_value(item),
        "prompt_hash": sample["prompt_hash"],
        "reasoning": task.reasoning,
        "steps": task.steps(item),
        "target": str(sample["target"]),
        "response": sample["resps"][0][0],
        "answer": sample["filtered_resps"][0],
        "correct": bool(sample[METRIC]),
    }
