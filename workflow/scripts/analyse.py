"""Pair every condition with its dense run, and write the results of each analysis."""

from pathlib import Path

import polars as pl

from pipeline.analysis.arms import Evaluated
from pipeline.analysis.base import analysed, registered
from pipeline.analysis.material import Backbone, Material, PartProfile
from pipeline.config.analysis import Analysis
from pipeline.config.orders import Order, Orders
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.classes import CLASSES, CLASSIFICATION
from pipeline.tables.model import MODEL
from pipeline.tables.named import by_file_name, read_by, read_each
from pipeline.tables.neurons import LAYERS, NEURONS
from pipeline.tables.plan import PLAN
from pipeline.tables.samples import SAMPLES, SPARSITY
from pipeline.tasks.task import find

_CONDITION = ("model", "method", "level", "seed")
_TARGETS = {"task": pl.String, "steps": pl.Int64, "target": pl.String}


def main(
    *,
    folders: dict,
    samples: list[Path],
    sparsity: list[Path],
    plans: list[Path],
    models: list[Path],
    layers: list[Path],
    classifications: list[Path],
    parted: list[dict],
    part_neurons: list[Path],
    part_classes: list[Path],
    tasks: list[str],
    orders: list[dict],
    analysis: Analysis,
    seed: int,
    tables: list[Path],
    manifest: Manifest,
) -> None:
    """Write the table or document of every analysis.

    `folders` says what stands in each folder of inputs, and `parted` which methods remove one part
    of a model at a time, by which profile and classification.
    """
    achieved = read_by(SPARSITY, sparsity, folders, *_CONDITION)
    fitted = read_by(PLAN, plans, folders, *_CONDITION)
    evaluated = []
    for facts, rows in read_each(SAMPLES, samples, folders):
        condition = tuple(facts[name] for name in _CONDITION)
        of_condition = {"sparsity": achieved[condition], "plan": fitted.get(condition)}
        evaluated.append(Evaluated(**facts, samples=rows, **of_condition))
    profiles = read_by(LAYERS, layers, folders, "model")
    classified = read_by(CLASSIFICATION, classifications, folders, "model")
    backbones = [
        Backbone(record, profiles[facts["model"],], classified[facts["model"],])
        for facts, record in read_each(MODEL, models, folders)
    ]
    neurons = read_by(NEURONS, part_neurons, folders, "model", "corpus")
    classes = read_by(CLASSES, part_classes, folders, "model", "corpus", "classification")
    targets = [row for task in map(find, tasks) for row in task.targets()]
    material = Material(
        evaluated,
        backbones,
        [_part(facts, neurons, classes) for facts in parted],
        pl.DataFrame(targets, schema=_TARGETS),
        Orders([Order(**order) for order in orders]),
        analysis,
        seed,
    )
    places = by_file_name(tables)
    results = analysed(material)
    for name, one in registered().items():
        one.table.write(places[one.file], results[name], manifest)


def _part(facts: dict, neurons: dict, classes: dict) -> PartProfile:
    model, corpus = facts["model"], facts["corpus"]
    return PartProfile(
        model, facts["method"], facts["part"], facts["by_layer"],
        neurons[model, corpus], classes[model, corpus, facts["classification"]],
    )  # fmt: skip


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
