"""Documents made of the training split of an evaluation task."""

from collections.abc import Iterator

from pipeline.calibration.base import CorpusKind, no_commit, read_beginning
from pipeline.config.calibration import Corpus
from pipeline.tasks import task as tasks


def documents(where: str, corpus: Corpus) -> Iterator[str]:
    """Prompt and target of every training item, by the task's own templates."""
    task = tasks.find(where)
    for item in task.items(corpus.split):
        yield f"{task.text(item)} {task.text(item, 'doc_to_target')}"


def identity(where: str, corpus: Corpus) -> str:
    """Digest of the task file and of the split's items."""
    return tasks.find(where).identity(corpus.split)


def check(where: str, corpus: Corpus) -> None:
    """UserError where the split's first items give no text."""
    read_beginning(documents(where, corpus), corpus)


TASK = CorpusKind(documents, identity, no_commit, check)
