"""Train one built-in backbone from its seed, or from its last checkpoint."""

import sys
from pathlib import Path

from pipeline.reference.export import save_weights
from pipeline.reference.recipes import Recipe
from pipeline.reference.train import hardware, train
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.training import LOSS_CURVE


def main(
    *, recipe: dict, device: str, checkpoint: Path, weights: Path, curve: Path, manifest: Manifest
) -> None:
    """Write the weights in float16 and the loss curve, after which the checkpoint is no longer
    needed."""

    def report(row: dict) -> None:
        sys.stderr.write(f"step {row['step']}: {row['loss']:.4f} nats a token\n")

    made = Recipe(**recipe)
    model, rows = train(made, checkpoint, device, report)
    save_weights(model, weights)
    body = {"recipe": made.as_dict(), "hardware": hardware(device), "rows": rows}
    LOSS_CURVE.write(curve, body, manifest)
    checkpoint.unlink(missing_ok=True)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
