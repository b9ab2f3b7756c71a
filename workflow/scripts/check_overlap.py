"""Compare the text of a corpus with the evaluation tasks, and refuse one that gives items away."""

from pathlib import Path

from pipeline.calibration.overlap import compared
from pipeline.config.calibration import Corpus
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.overlap import OVERLAP
from pipeline.tables.sequences import TEXTS


def main(
    *, texts: Path, config: Corpus, tasks: list[str], overlap: Path, manifest: Manifest
) -> None:
    """Write overlap.json."""
    OVERLAP.write(overlap, compared(TEXTS.read(texts)["text"], config, tasks), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
