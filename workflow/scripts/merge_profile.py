"""Add the shards' blocks into one profile."""

from pathlib import Path

from pipeline.errors import putting_together
from pipeline.profiling.merge import layers_of, merge_channels, merge_histograms, merge_neurons
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import (
    CHANNEL_BLOCKS,
    CHANNELS,
    HISTOGRAMS,
    LAYERS,
    NEURON_BLOCKS,
    NEURONS,
)
from pipeline.tables.sampled import NORMS, THRESHOLDS


def main(
    *,
    record: Path,
    thresholds: Path,
    norms: Path,
    neuron_shards: list[Path],
    channel_shards: list[Path],
    histogram_shards: list[Path],
    blocks: int,
    neurons: Path,
    channels: Path,
    histograms: Path,
    layers: Path,
    manifest: Manifest,
) -> None:
    """Write neurons.parquet, channels.parquet, histograms.parquet and layers.parquet."""
    exact_zeros = MODEL.read(record)["exact_zeros"]
    sums = list(map(NEURON_BLOCKS.read, neuron_shards))
    with putting_together(neuron_shards):
        per_neuron = merge_neurons(sums, blocks, NORMS.read(norms), exact_zeros)
    NEURONS.write(neurons, per_neuron, manifest)
    LAYERS.write(layers, layers_of(per_neuron, THRESHOLDS.read(thresholds)), manifest)
    sums = list(map(CHANNEL_BLOCKS.read, channel_shards))
    with putting_together(channel_shards):
        CHANNELS.write(channels, merge_channels(sums, blocks), manifest)
    HISTOGRAMS.write(
        histograms, merge_histograms(list(map(HISTOGRAMS.read, histogram_shards))), manifest
    )


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
