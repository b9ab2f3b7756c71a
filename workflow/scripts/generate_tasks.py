"""Generate the built-in tasks' items and the built-in calibration corpora."""

from pathlib import Path

from pipeline.reference.export import CORPORA, TASKS, save_corpus, save_task
from pipeline.running.entry import job


def main(*, tasks: list[Path], corpora: list[Path]) -> None:
    """Write one YAML and one JSONL a task, and the corpora."""
    for name in TASKS:
        save_task(name, tasks[0].parent)
    for name in CORPORA:
        save_corpus(name, corpora[0].parent / f"{name}.jsonl")


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
