"""Put a trained backbone among the project's resources, with a model card of measured figures."""

from pathlib import Path

from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.entry import job
from pipeline.evaluation.evaluate import evaluate
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.reference.card import card, tally
from pipeline.reference.export import save_model
from pipeline.reference.recipes import Recipe
from pipeline.reference.training import build, load_weights
from pipeline.tables.training import LOSS_CURVE


def main(*, weights: Path, curve: Path, recipe: dict, families: list[str], card_file: Path) -> None:
    """Write the model in Hugging Face format, then its README.md."""
    made = Recipe(**recipe)
    save_model(load_weights(build(made), weights), card_file.parent)
    shipped = Model(source=str(card_file.parent.resolve()))
    model, tokenizer = load(shipped, resolve(made.name, shipped))
    samples, sparsity = evaluate(model, tokenizer, Evaluation(tasks=tuple(families)))
    text = card(made, LOSS_CURVE.read(curve)["rows"], tally(samples), sparsity)
    card_file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
