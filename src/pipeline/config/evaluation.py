"""`evaluation`: the tasks, and how much of them."""

from typing import Any

from pydantic import Field

from pipeline.config.base import BatchMemory, BatchSize, Section, Shards


def is_task_file(task: Any) -> bool:
    """True for the path of a task file, false for the name of a built-in task."""
    return isinstance(task, str) and task.endswith((".yaml", ".yml"))


class Evaluation(Section):
    """Evaluation of the dense and of every pruned model on the same items.

    `tasks` are names of files in resources/tasks, or paths of task files of your own, ending in
    .yaml; a relative one starts at the configuration file's folder.
    """

    tasks: tuple[str, ...] = Field(min_length=1)
    limit: int | None = Field(
        None, ge=2, le=10_000_000, description="use only the first items of each task; null for all"
    )
    batch_size: BatchSize = Field(100, description="most sequences in one forward pass")
    batch_megabytes: BatchMemory = Field(
        2000,
        description="memory that the sequences of one forward pass may take, as the model's sizes "
        "tell it; a batch holds as many as fit, `batch_size` at most",
    )
    block_items: int = Field(
        250, ge=1, le=1_000_000, description="items of a task per block; no batch spans two blocks"
    )
    shards: Shards = Field(
        1, description="jobs that each model's evaluation is divided among, block by block"
    )
