"""The one place that talks to lm-evaluation-harness (0.4.13).

No response cache and no request cache are ever used: neither is keyed by the model's weights or by
the items' content, so a pruned model would be given the dense model's answers. The batch size goes
to HFLM itself, since `simple_evaluate` ignores it for a model object, and `evaluate` is called
instead of `simple_evaluate`, which collects facts about the machine for seconds a call.
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.evaluation.form import in_form
from pipeline.models.forward import Forward
from pipeline.models.memory import Halving, Room
from pipeline.store.digest import of_value
from pipeline.tasks.format import METRICS, Form
from pipeline.tasks.task import Task


class Harness:
    """Evaluates tasks with one model; the task manager is made once and indexes no default task.

    `forward`, which must be watching the model, is told which tokens each request asks for.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        room: Room,
        forward: Forward,
        halving: Halving | None = None,
    ) -> None:
        from lm_eval.tasks import TaskManager

        from pipeline.evaluation.language_model import language_model

        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        self._lm = language_model(model, tokenizer, room, forward, halving or Halving())
        self._tasks = TaskManager(include_defaults=False)

    def samples(self, task: Task, chosen: range) -> Iterator[dict[str, Any]]:
        """Rows of tables.samples.SAMPLES of the chosen items, a run of them, in their order.

        Greedy answers, choices by likelihood, or likelihoods of texts. Raises the UserErrors of
        Task.check.
        """
        from lm_eval.evaluator import evaluate

        task.check()
        items = task.items()[chosen.start : chosen.stop]
        loaded = self._tasks.load([_definition(task, items)])
        result = evaluate(self._lm, loaded, bootstrap_iters=1, log_samples=True, verbosity="ERROR")
        if result is None:
            raise RuntimeError("the harness returned no result; it runs on rank 0 only")
        scored = sorted(result["samples"][task.name], key=lambda sample: sample["doc_id"])
        if len(scored) != len(items):
            raise RuntimeError(f"the harness scored {len(scored)} of {len(items)} items")
        for sample in scored:
            item = items[sample["doc_id"]]
            facts = _facts(task, item, sample) | {"item": chosen.start + sample["doc_id"]}
            yield facts | self._scored(task, item, sample)

    def _scored(self, task: Task, item: dict[str, Any], sample: dict[str, Any]) -> dict[str, Any]:
        """The part of a row that depends on the task's form."""
        if task.form is Form.TEXT:
            text, log = task.question(item), sample["filtered_resps"][0]
            tokens = len(self._lm.tok_encode(text, add_special_tokens=False))
            return _answer(text, "", "", None) | _likelihood([log], log, tokens)
        correct = bool(sample[next(iter(METRICS[task.form]))])
        if task.form is Form.ANSWER:
            response, answer = sample["resps"][0][0], sample["filtered_resps"][0]
            written = self._lm.written[sample["arguments"][0][0]]
            facts = {
                "finite": written.finite,
                "in_form": in_form(task.filters, response),
                "answer_tokens": written.tokens,
            }
            right = correct and written.finite
            return _answer(str(sample["target"]), response, answer, right) | facts
        choices, right = task.choices(item)
        logs = [float(log) for log, _ in sample["filtered_resps"]]
        tokens = len(self._lm._encode_pair(task.text(item), f" {choices[right]}")[1])
        scored = _likelihood(logs, logs[right], tokens)
        chosen = choices[max(range(len(logs)), key=logs.__getitem__)] if scored["finite"] else ""
        correct = correct and scored["finite"]
        return _answer(choices[right], chosen, chosen, correct) | scored


def _definition(task: Task, items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The task's YAML with prompts and targets already filled in, handed over in memory.

    A table of the raw items would give a column one type and turn the answer 3 into 3.0 where
    another answer is 2.5; and no dataset cache is written.
    """
    kept = {
        key: value
        for key, value in task.definition.items()
        if key not in ("dataset_path", "dataset_kwargs")
    }
    named = {"doc_to_text": "prompt", "doc_to_target": "target"}
    rows: list[dict[str, Any]]
    if task.form is Form.TEXT:
        named["doc_to_text"] = ""
        rows = [{"target": task.question(item)} for item in items]
    elif task.form is Form.CHOICE:
        named["doc_to_choice"] = "choices"
        rows = []
        for item in items:
            choices, right = task.choices(item)
            rows.append({"prompt": task.text(item), "choices": choices, "target": right})
    else:
        rows = [{"prompt": task.text(i), "target": task.text(i, "doc_to_target")} for i in items]
        kept["generation_kwargs"] = task.generation
        if not task.filters:
            # With an empty list the harness would score nothing.
            kept.pop("filter_list", None)
    return {**kept, **named, "custom_dataset": _in_memory(rows)}


def _in_memory(rows: list[dict[str, Any]]) -> Callable[..., Any]:
    def dataset(**_metadata: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({"test": Dataset.from_list(rows)})

    return dataset


def _facts(task: Task, item: dict[str, Any], sample: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": task.name,
        "item_hash": of_value(item),
        "prompt_hash": sample["prompt_hash"],
        "reasoning": task.reasoning,
        "steps": task.steps(item),
        "cluster": task.cluster(item),
        "nats": None,
        "scored_tokens": None,
        "in_form": None,
        "answer_tokens": None,
    }


def _answer(target: str, response: str, answer: str, correct: bool | None) -> dict[str, Any]:
    return {"target": target, "response": response, "answer": answer, "correct": correct}


def _likelihood(logs: Sequence[float], log: float, tokens: int) -> dict[str, Any]:
    """The part of a row that comes from a log-likelihood, compared with those in `logs`; without
    nats where not all of them are finite numbers."""
    finite = all(map(math.isfinite, logs))
    return {"finite": finite, "nats": -float(log) if finite else None, "scored_tokens": tokens}
