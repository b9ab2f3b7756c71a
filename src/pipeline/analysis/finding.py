"""The facts of the finding: the models before pruning, and paired contrasts between the arms."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.analysis.arms import Arm
from pipeline.analysis.base import StudyAnalysis
from pipeline.analysis.dense import dense_rows
from pipeline.analysis.losses import Losses
from pipeline.analysis.material import Backbone, Material
from pipeline.config.level import COLD as COLD_SET
from pipeline.config.level import HOT as HOT_SET
from pipeline.config.level import Level
from pipeline.config.orders import ALL, COLD, LAYER, MODEL, Order, Orders
from pipeline.config.roles import COLDEST, HOTTEST, RANDOM
from pipeline.tables.curves import DENSE, REASONING
from pipeline.tables.finding import FINDING

#: What a difference between random neurons and the coldest is made of.
LAYERS, HOTNESS, ORDER = "layers", "not hot", "order of coldness"


def finding(study: Material) -> dict[str, Any]:
    """The body of FINDING."""
    settings = study.settings
    level = Level(settings.reference_level).text
    dense = [run for run in study.evaluated if run.method == DENSE]
    return {
        "confidence": settings.confidence,
        "bootstrap": settings.bootstrap,
        "reference_level": level,
        "models": [backbone_facts(backbone) for backbone in study.backbones],
        "dense": [row for e in dense for row in dense_rows(e.model, e.samples, study.targets)],
        "contrasts": contrasts(study.arms, study.losses, study.orders, level),
        "decomposition": decomposition(study.arms, study.losses, study.orders, level),
    }


def backbone_facts(backbone: Backbone) -> dict[str, Any]:
    """A row of the finding's `models`; layers hold equally many neurons, so their mean is the
    model's natural sparsity."""
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


def contrasts(
    arms: Sequence[Arm], losses: Mapping[str, Losses], orders: Orders, level: str
) -> list[dict[str, Any]]:
    """Loss under the first minus loss under the second, for every model that has both.

    At the reference level the coldest, of every layer and of the model, against their matched
    random draws, among all and among the cold, against the coldest by later methods and, by layer,
    against every other order that takes as many of each; and all cold against all hot neurons.
    """
    pairs = []
    for coldest in orders.named(COLDEST):
        drawn = [o for among in (ALL, COLD) for o in orders.matched(coldest, among)]
        others = [
            o
            for o in orders.all
            if o.scope == coldest.scope == LAYER and o.order not in (RANDOM, COLDEST)
        ]
        later = [
            o for o in orders.named(COLDEST) if orders.all.index(o) > orders.all.index(coldest)
        ]
        named = [o.method for o in (*drawn, *others, *later)]
        pairs += [((coldest.method, level), (name, level)) for name in named]
        hottest = orders.named(HOTTEST, coldest.scope)
        pairs += [((coldest.method, COLD_SET.text), (o.method, HOT_SET.text)) for o in hottest]
    by_key = {(arm.model, arm.method, arm.level): arm for arm in arms}
    compared = []
    for model, of_model in losses.items():
        for first, second in pairs:
            one, other = by_key.get((model, *first)), by_key.get((model, *second))
            if one and other and of_model.members(REASONING, one, other):
                compared.append(_contrast(of_model, one, other))
    return compared


def decomposition(
    arms: Sequence[Arm], losses: Mapping[str, Losses], orders: Orders, level: str
) -> list[dict[str, Any]]:
    """What the difference between as many random neurons and the coldest is made of, in points of
    reasoning accuracy: a row a model, scope and part.

    By layer: random neurons of every layer less random cold ones (they are not hot), and these less
    the coldest (their order). Of the model: first, random neurons of every layer less as many of
    each layer as the coldest of the model take (where they are cut), then the same two.
    """
    by_key = {(arm.model, arm.method): arm for arm in arms if arm.level == level}

    def chosen(model: str, named: Sequence[Order]) -> Arm | None:
        return next((by_key[model, o.method] for o in named if (model, o.method) in by_key), None)

    rows = []
    for model, of_model in losses.items():
        for scope in (LAYER, MODEL):
            coldest = orders.coldest(scope)
            if coldest is None or REASONING not in of_model.tasks:
                continue
            even = orders.even(coldest.sparse_from) if scope == MODEL else []
            steps: list[tuple[str, Arm | None]] = [
                (LAYERS, chosen(model, even)),
                (HOTNESS, chosen(model, orders.matched(coldest))),
                (ORDER, chosen(model, orders.matched(coldest, COLD))),
                ("", chosen(model, [coldest])),
            ]
            for (part, first), (_, second) in itertools.pairwise(steps):
                if first and second and of_model.members(REASONING, first, second):
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
