"""Prompts, answers and choices against the positions that a model has."""

from typing import Any

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.models.tokens import encode
from pipeline.tasks import task as tasks
from pipeline.tasks.task import Form, Task


def refuse_long(config: Evaluation, tokenizer: Any, limit: int | None) -> None:
    """UserError where an item that will be evaluated takes more than `limit` positions.

    A written answer counts with as many tokens as it may have. The last token of a choice does not
    count, since it is not read. A text may be of any length: what does not fit is scored in
    windows, each token once. Raises the UserErrors of Task.check first.
    """
    if limit is None:
        return
    for task in map(tasks.find, config.tasks):
        task.check()
        if task.form is Form.TEXT:
            continue
        _refuse_answers(task, limit)
        items = task.items()[: config.limit]
        lengths = [_positions(task, item, tokenizer) for item in items]
        long = [number for number, length in enumerate(lengths) if length > limit]
        if long:
            written = task.form is Form.ANSWER
            answer = f" with its max_gen_toks of {_answer(task)}" if written else ""
            raise UserError(
                f"task {task.name}: {len(long)} of {len(items)} items need more than the model's "
                f"{limit} positions; item {long[0]} is the first and needs {lengths[long[0]]}"
                f"{answer}. Shorten these items or leave them out, or take a model with more "
                "positions"
            )


def _refuse_answers(task: Task, limit: int) -> None:
    if task.form is Form.ANSWER and _answer(task) >= limit:
        raise UserError(
            f"task {task.name}: max_gen_toks is {_answer(task)}, as given or by default, and the "
            f"model has {limit} positions for prompt and answer together; give less under "
            "generation_kwargs"
        )


def _answer(task: Task) -> int:
    """Tokens that a written answer may have."""
    return int(task.generation["max_gen_toks"])


def _positions(task: Task, item: dict[str, Any], tokenizer: Any) -> int:
    """Positions that the item takes at most."""
    prompt = task.text(item)
    if task.form is Form.ANSWER:
        return len(encode(tokenizer, prompt)) + _answer(task)
    choices, _ = task.choices(item)
    return max(len(encode(tokenizer, f"{prompt} {choice}")) for choice in choices) - 1
