"""Describe how a model's activations are spread over its neurons, corpus by corpus."""

from pathlib import Path

from pipeline.classification import power_law as facts
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.neurons import NEURONS
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED


def main(
    *,
    neurons: list[Path],
    corpora: list[str],
    profile_keys: dict[str, str],
    power_law: Path,
    ranked: Path,
    hot_overlaps: Path,
    manifest: Manifest,
) -> None:
    """Write power_law.parquet, ranked.parquet and hot_overlaps.parquet.

    `profile_keys` names the profile on each corpus by the folder that its file stands in.
    """
    by_key = {path.parent.name: NEURONS.read(path) for path in neurons}
    profiles = {corpus: by_key[profile_keys[corpus]] for corpus in corpora}
    spreads = [row for corpus, rows in profiles.items() for row in facts.spread(corpus, rows)]
    POWER_LAW.write(power_law, spreads, manifest)
    curves = [row for corpus, rows in profiles.items() for row in facts.curves(corpus, rows)]
    RANKED.write(ranked, curves, manifest)
    HOT_OVERLAPS.write(hot_overlaps, facts.overlaps(profiles), manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
