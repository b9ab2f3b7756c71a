"""Profile the activations of one shard of the calibration sequences."""

from pathlib import Path

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.models.loading import load
from pipeline.profiling.shard import magnitudes, profile_shard
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import CHANNEL_BLOCKS, HISTOGRAMS, NEURON_BLOCKS
from pipeline.tables.sampled import NORMS, THRESHOLDS
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    sequences: Path,
    thresholds: Path,
    norms: Path,
    model: Model,
    config: Profile,
    shard: int,
    shards: int,
    neurons: Path,
    channels: Path,
    histograms: Path,
    manifest: Manifest,
) -> None:
    """Write sums by block, and histograms."""
    loaded, tokenizer = load(model, MODEL.read(record), whole=False)
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    above = magnitudes(THRESHOLDS.read(thresholds), NORMS.read(norms))
    special = tokenizer.all_special_ids
    per_neuron, per_channel, counts = profile_shard(
        loaded, rows, special, above, config, shard, shards
    )
    NEURON_BLOCKS.write(neurons, per_neuron, manifest)
    CHANNEL_BLOCKS.write(channels, per_channel, manifest)
    HISTOGRAMS.write(histograms, counts, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
