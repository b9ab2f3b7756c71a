"""The facts of the finding: the models before pruning, and paired contrasts between the arms."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.analysis.arms import Arm
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.dense import dense_rows
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import Backbone, Material
from pipeline.analysis.pairs import pairs, parts
from pipeline.analysis.text_finding import text_contrasts, text_decomposition
from pipeline.config.level import Level
from pipeline.config.orders import Orders
from pipeline.tables.curves import DENSE, REASONING
from pipeline.tables.finding import FINDING


def finding(study: Material) -> dict[str, Any]:
    """The body of FINDING."""
    settings = study.settings
    level = Level(settings.reference_level).text
    dense = [run for run in study.evaluated if run.method == DENSE]
    of_texts = (study.arms, study.orders, level, study.resamples)
    return {
        "confidence": settings.confidence,
        "bootstrap": settings.bootstrap,
        "reference_level": level,
        "models": [backbone_facts(backbone) for backbone in study.backbones],
        "dense": [row for e in dense for row in dense_rows(e.model, e.samples, study.targets)],
        "contrasts": contrasts(study.arms, study.losses, study.orders, level),
        "decomposition": decomposition(study.arms, study.losses, study.orders, level),
        "dense_reasoning": dense_reasoning(study.losses),
        "text_contrasts": text_contrasts(*of_texts),
        "text_decomposition": text_decomposition(*of_texts),
    }


def backbone_facts(backbone: Backbone) -> dict[str, Any]:
    """A row of the finding's `models`. Layers have equally many neurons, so the mean over layers is
    the model's natural sparsity."""
    model, classification = backbone.record, backbone.classification
    return {
        "model": model["name"],
        "activation": model["activation"],
        "parameters": model["parameters"],
        "neurons": classification["neurons"],
        "natural_sparsity": float(backbone.layers["natural_sparsity"].mean()),
        "active_rule": classification["active_rule"],
        "policy": classification["policy"],
        "share": classification["share"],
        "hot": classification["hot"],
        "carried": classification["carried"],
    }


def dense_reasoning(losses: Mapping[str, Losses]) -> list[dict[str, Any]]:
    """How every dense model stands on the mean of the reasoning tasks, beside chance."""
    rows = []
    for model, of_model in losses.items():
        if members := of_model.members(REASONING, of_model.dense):
            size = sum(of_model.dense.right[member].shape[1] for member in members)
            stands = of_model.standing(REASONING, of_model.dense)
            rows.append({"model": model, **stands, "n": size})
    return rows


def contrasts(
    arms: Sequence[Arm], losses: Mapping[str, Losses], orders: Orders, level: str
) -> list[dict[str, Any]]:
    """Loss under the first minus loss under the second, for every model that has both; which are
    compared is said at `pairs`."""
    chosen = pairs(orders, level)
    by_key = {(arm.model, arm.method, arm.level): arm for arm in arms}
    compared = []
    for model, of_model in losses.items():
        for first, second in chosen:
            one, other = by_key.get((model, *first)), by_key.get((model, *second))
            if one and other and of_model.members(REASONING, one, other):
                compared.append(_contrast(of_model, one, other))
    return compared


def decomposition(
    arms: Sequence[Arm], losses: Mapping[str, Losses], orders: Orders, level: str
) -> list[dict[str, Any]]:
    """What the difference between as many random neurons and the coldest is made of (`parts`), in
    points of reasoning accuracy: a row a model, scope and part."""
    rows = []
    for model, of_model in losses.items():
        at_level = {a.method: a for a in arms if (a.model, a.level) == (model, level)}
        for scope, part, first, second in parts(orders, at_level):
            if of_model.members(REASONING, first, second):
                # A lower accuracy is a higher loss, so the order turns round.
                estimate, low, high = of_model.difference(second, first, REASONING)
                head = {"model": model, "scope": scope, "part": part}
                sides = {"first": first.method, "second": second.method}
                rows.append(head | sides | {"estimate": estimate, "low": low, "high": high})
    return rows


def _contrast(losses: Losses, first: Arm, second: Arm) -> dict[str, Any]:
    # A lower accuracy is a higher loss, so the order turns round.
    estimate, low, high = losses.difference(second, first, REASONING)
    members = losses.members(REASONING, first, second)
    return {
        "model": first.model,
        "first": _side(first, members),
        "second": _side(second, members),
        "estimate": estimate,
        "low": low,
        "high": high,
        "n": sum(first.right[member].shape[1] for member in members),
    }


def _side(arm: Arm, tasks: Sequence[str]) -> dict[str, Any]:
    share = arm.achieved(tasks)["neuron_sparsity_imposed"]
    return {"method": arm.method, "level": arm.level, "neuron_sparsity": share}


ANALYSIS = StudyAnalysis(FINDING, finding)
