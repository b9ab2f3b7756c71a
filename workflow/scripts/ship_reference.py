"""Put a trained backbone among the project's resources, with a model card of measured figures."""

from pathlib import Path

import polars as pl

from pipeline.analysis.dense import dense_rows
from pipeline.calibration.extraction import extract
from pipeline.calibration.overlap import compared
from pipeline.classification.base import PolicyEvidence
from pipeline.classification.classify import classify
from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.evaluation.evaluate import evaluate
from pipeline.models.loading import load
from pipeline.models.resolve import resolve
from pipeline.profiling.merge import layers_of, merge_neurons
from pipeline.profiling.sample import profile_sample
from pipeline.profiling.shard import magnitudes, profile_shard
from pipeline.reference.card import card, facts_of
from pipeline.reference.export import TASKS, save_model
from pipeline.reference.recipes import Recipe
from pipeline.reference.train import build, load_weights
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest, write_text
from pipeline.tables.samples import SAMPLES
from pipeline.tables.training import CARD, LOSS_CURVE
from pipeline.tasks.task import find

CORPUS = Corpus(source="builtin:reasoning", overlap_ngram=32)
COVERAGE = Classification(policy="coverage", share=0.8)


def main(
    *, weights: Path, curve: Path, recipe: dict, card_file: Path, facts: Path, manifest: Manifest
) -> None:
    """Write the model in Hugging Face format, the facts about it, then its README.md."""
    made = Recipe(**recipe)
    save_model(load_weights(build(made), weights), card_file.parent)
    source = Model(source=str(card_file.parent.resolve()))
    record = resolve(made.name, source)
    model, tokenizer = load(source, record)
    samples = SAMPLES.frame(evaluate(model, tokenizer, Evaluation(tasks=tuple(TASKS)))[0])
    targets = pl.DataFrame([row for task in map(find, TASKS) for row in task.targets()])
    dense = dense_rows(made.name, samples, targets)
    columns, _, texts = extract(CORPUS, tokenizer)
    compared((row["text"] for row in texts), CORPUS, tuple(TASKS))
    rows = columns["tokens"]
    special, settings = tokenizer.all_special_ids, Profile()
    found = profile_sample(model, rows, special, settings)
    thresholds, norms = (pl.DataFrame(found[name]) for name in ("thresholds", "norms"))
    above = magnitudes(thresholds, norms)
    blocks = profile_shard(model, rows, special, above, settings, 0, 1)[0]
    neurons = merge_neurons([pl.DataFrame(blocks)], norms, record["exact_zeros"])
    layers = layers_of(neurons, thresholds)
    classes = classify(PolicyEvidence(neurons), COVERAGE, record["exact_zeros"])[1]
    body = facts_of(record, dense, samples, layers, classes)
    CARD.write(facts, body, manifest)
    write_text(card_file, card(made, LOSS_CURVE.read(curve), body))


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
