"""Tell how a model's activations are spread over its neurons, corpus by corpus."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.classification import power_law as facts
from pipeline.entry import job
from pipeline.tables.neurons import NEURONS
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED


def main(
    *,
    neurons: list[Path],
    corpora: list[str],
    power_law: Path,
    ranked: Path,
    hot_overlaps: Path,
    manifest: Manifest,
) -> None:
    """Write power_law.parquet, ranked.parquet and hot_overlaps.parquet."""
    profiles = dict(zip(corpora, map(NEURONS.read, neurons), strict=True))
    for table, path, of in ((POWER_LAW, power_law, facts.spread), (RANKED, ranked, facts.curves)):
        table.write(path, [row for name in corpora for row in of(name, profiles[name])], manifest)
    HOT_OVERLAPS.write(hot_overlaps, facts.overlaps(profiles), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
