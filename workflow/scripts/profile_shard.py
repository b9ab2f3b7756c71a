"""Profile the activations of one shard of the calibration sequences."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.entry import job
from pipeline.models.loading import load
from pipeline.profiling.shard import profile_shard
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYER_BLOCKS, NEURON_BLOCKS
from pipeline.tables.sequences import SEQUENCES


def main(
    *,
    record: Path,
    sequences: Path,
    model: Model,
    config: Profile,
    shard: int,
    shards: int,
    blocks: Path,
    layers: Path,
    manifest: Manifest,
) -> None:
    """Write sums by block and the layers' CETT thresholds."""
    loaded, tokenizer = load(model, MODEL.read(record))
    rows = SEQUENCES.read(sequences)["tokens"].to_list()
    sums, thresholds = profile_shard(loaded, rows, tokenizer.all_special_ids, config, shard, shards)
    NEURON_BLOCKS.write(blocks, sums, manifest)
    LAYER_BLOCKS.write(layers, thresholds, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
