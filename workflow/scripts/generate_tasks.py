"""Generate the built-in tasks' items and the built-in calibration corpus."""

from pathlib import Path

from pipeline.entry import job
from pipeline.reference.export import save_corpus, save_task
from pipeline.registry import FAMILIES


def main(*, tasks: list[Path], corpus: Path) -> None:
    """Write one YAML and one JSONL a family, and the corpus."""
    for name in FAMILIES:
        save_task(name, FAMILIES.load(name), tasks[0].parent)
    save_corpus(corpus)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
