"""Add the shards' blocks into one profile."""

from pathlib import Path

from pipeline.artifacts import Manifest
from pipeline.entry import job
from pipeline.errors import putting_together
from pipeline.profiling.merge import merge
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYER_BLOCKS, LAYERS, NEURON_BLOCKS, NEURONS


def main(
    *,
    record: Path,
    block_shards: list[Path],
    layer_shards: list[Path],
    neurons: Path,
    layers: Path,
    manifest: Manifest,
) -> None:
    """Write neurons.parquet and layers.parquet."""
    blocks = [NEURON_BLOCKS.read(path) for path in block_shards]
    thresholds = [LAYER_BLOCKS.read(path) for path in layer_shards]
    exact_zeros = MODEL.read(record)["exact_zeros"]
    with putting_together(block_shards):
        per_neuron, per_layer = merge(blocks, thresholds, exact_zeros)
    NEURONS.write(neurons, per_neuron, manifest)
    LAYERS.write(layers, per_layer, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
