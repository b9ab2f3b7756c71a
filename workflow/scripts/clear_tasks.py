"""Let a model's evaluations begin once all corpora of the study have been compared with the
tasks."""

from pathlib import Path

from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.overlap import CLEARED, OVERLAP
from pipeline.tasks.task import find


def main(
    *, overlap_checks: list[Path], tasks: list[str], cleared: Path, manifest: Manifest
) -> None:
    """Write cleared.json."""
    for path in overlap_checks:
        OVERLAP.read(path)
    CLEARED.write(cleared, {"tasks": [find(name).name for name in tasks]}, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
