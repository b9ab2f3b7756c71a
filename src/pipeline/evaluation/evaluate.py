"""Evaluate a model, pruned or not, on tasks, and measure its sparsity on the way.

Items are evaluated in fixed blocks, no batch holds items of two blocks, and sparsity is counted in
whole numbers, so one job and seven that divide the blocks give the same rows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.evaluation.harness import Harness
from pipeline.evaluation.lengths import refuse_long
from pipeline.models.forward import START, Forward
from pipeline.models.lengths import positions
from pipeline.models.memory import Halving, Room
from pipeline.models.sparsity import Meter, figures
from pipeline.models.tokens import end_tokens
from pipeline.models.views import view
from pipeline.numerics.measures import MEASURES
from pipeline.tasks.task import Task, find

Rows = list[dict[str, Any]]


def blocks(config: Evaluation) -> list[tuple[Task, range]]:
    """All blocks of items of all tasks, in order; a task's last block may be shorter."""
    found = []
    for task in map(find, config.tasks):
        items = len(task.items()[: config.limit])
        starts = range(0, items, config.block_items)
        found += [(task, range(at, min(items, at + config.block_items))) for at in starts]
    return found


def evaluate(
    model: Any,
    tokenizer: Any,
    config: Evaluation,
    forward: Forward | None = None,
    shard: int = 0,
    shards: int = 1,
) -> tuple[Rows, Rows]:
    """(rows of tables.samples.SAMPLES, rows of COUNTS) of every `shards`-th block from `shard` on.

    `forward` is that of the method that is applied to the model; None for the dense model. Tokens
    are those of prompts and responses. UserError where items are longer than the model takes, and
    where the dense model's scores of an item are not finite; those of a pruned one are kept as they
    are.
    """
    import torch

    dense = forward is None
    forward = forward or Forward()
    refuse_long(config, tokenizer, positions(model.config))
    forward.stop = end_tokens(tokenizer, model.generation_config) | {tokenizer.pad_token_id}
    meter = Meter(view(model), forward)
    halving = Halving(meter.mark)
    room = Room(config.batch_size, config.batch_megabytes)
    harness = Harness(model, tokenizer, room, forward, halving)
    samples: Rows = []
    counts: Rows = []
    for task, items in blocks(config)[shard::shards]:
        meter.reset()
        halving.halved = 0
        with torch.inference_mode(), meter.watching(model):
            samples.extend(harness.samples(task, items))
        place: dict[str, Any] = {"task": task.name, "start": items.start, "stop": items.stop}
        place["halved"] = halving.halved
        counts.extend(place | row for row in meter.counts())
    if dense:
        _check_finite(samples, str(model.dtype).removeprefix("torch."))
    return samples, counts


def _check_finite(samples: Rows, dtype: str) -> None:
    lost = [row for row in samples if not row["finite"]]
    if lost:
        raise UserError(
            f"the unpruned model's scores are not finite numbers on {len(lost)} of {len(samples)} "
            f"items (the first: item {lost[0]['item']} of {lost[0]['task']}), so no loss can be "
            f"measured; its numbers overflow {dtype}, or its weights are damaged: give the model "
            "another dtype, or other weights"
        )


def summed(
    samples: Rows, counts: Rows, config: Evaluation, sparse_from: str | int = START
) -> tuple[Rows, Rows]:
    """(rows of SAMPLES in the order of the tasks and items, rows of SPARSITY, task by task).

    `samples` and `counts` are those of all shards, in any order. Raises UserError unless every
    block occurs exactly once.
    """
    wanted = [(task.name, items.start, items.stop) for task, items in blocks(config)]
    found = [_block(row) for row in counts if row["layer"] == 0]
    if sorted(found) != sorted(wanted):
        missing = sorted(set(wanted) - set(found))
        raise UserError(
            f"evaluation shards do not hold every block of items once (missing: {missing[:3]}); "
            "remove them and run again"
        )
    place = {task.name: number for number, task in enumerate(map(find, config.tasks))}
    ordered = sorted(samples, key=lambda row: (place[row["task"]], row["item"]))
    sparsity: Rows = []
    for task in place:
        mine = [row for row in counts if row["task"] == task]
        tokens = sum(row["tokens"] for row in mine if row["layer"] == 0)
        nonfinite = sum(row["nonfinite"] for row in mine)
        halved = sum(row["halved"] for row in mine if row["layer"] == 0)
        for basis, measures in figures(mine).items():
            facts = {"tokens": tokens, "nonfinite": nonfinite, "halved": halved}
            sparsity.append(_sparsity_row(task, basis, sparse_from) | measures | facts)
    return ordered, sparsity


def rows_of(frames: Iterable[Any]) -> Rows:
    """The rows of all frames, one after the other."""
    return [row for frame in frames for row in frame.to_dicts()]


def _block(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["task"], row["start"], row["stop"]


def refused(reason: str, config: Evaluation, sparse_from: str | int = START) -> tuple[Rows, Rows]:
    """(rows of SAMPLES, rows of SPARSITY) of a condition that was refused: no samples, and the
    reason in every task's row."""
    rows = []
    for task in map(find, config.tasks):
        for basis in ("imposed", "total"):
            rows.append(_sparsity_row(task.name, basis, sparse_from) | {"refused": reason})
    return [], rows


def _sparsity_row(task: str, basis: str, sparse_from: str | int) -> dict[str, Any]:
    return {
        "task": task,
        "tokens": 0,
        "basis": basis,
        **dict.fromkeys(MEASURES, 0.0),
        "sparse_from": str(sparse_from),
        "nonfinite": 0,
        "halved": 0,
        "refused": None,
    }
