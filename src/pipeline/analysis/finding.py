"""The finding: paired contrasts between the arms, facts of the models, and sentences."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from pipeline.analysis.arms import Arm, Evaluated
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses
from pipeline.analysis.removals import ALL, COLD, LAYER, MODEL, Order, Orders
from pipeline.analysis.sentences import not_finite, sentences
from pipeline.config.analysis import Analysis
from pipeline.config.methods import level_text
from pipeline.tables.curves import DENSE, REASONING

#: What a difference between random neurons and the coldest is made of.
LAYERS, HOTNESS, ORDER = "layers", "not hot", "order of coldness"


def finding(
    arms: Sequence[Arm],
    losses: Mapping[str, Losses],
    rows: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    evaluated: Sequence[Evaluated],
    targets: pl.DataFrame,
    orders: Orders,
    correlations: Sequence[Mapping[str, Any]],
    perplexity: Sequence[Mapping[str, Any]],
    removals: Sequence[Mapping[str, Any]],
    analysis: Analysis,
) -> dict[str, Any]:
    """The body of tables.finding.FINDING.

    `rows` are those of CURVES, `correlations` those of CORRELATIONS, `perplexity` those of
    PERPLEXITY, `removals` those of REMOVALS, `models` those of the document's key `models`,
    `targets` as chance wants them; `orders` says how neurons are removed.
    """
    level = level_text(analysis.reference_level)
    found = contrasts(arms, losses, orders, level)
    parts = decomposition(arms, losses, orders, level)
    dense = [
        row
        for e in evaluated
        if e.method == DENSE
        for row in dense_rows(e.model, e.samples, targets)
    ]
    return {
        "sentences": [
            *sentences(
                models, rows, perplexity, found, parts, correlations, removals, orders, level,
                analysis.confidence,
            ),
            *not_finite(rows, perplexity),
        ],
        "confidence": analysis.confidence,
        "bootstrap": analysis.bootstrap,
        "reference_level": level,
        "models": list(models),
        "dense": dense,
        "contrasts": found,
        "decomposition": parts,
    }  # fmt: skip


def contrasts(
    arms: Sequence[Arm], losses: Mapping[str, Losses], orders: Orders, level: str
) -> list[dict[str, Any]]:
    """Loss under the first minus loss under the second, for every model that has both.

    At the reference level the coldest, of every layer and of the model, against their matched
    random draws, among all and among the cold, against every other order of their scope, and
    against the coldest by later methods; and all cold against all hot neurons.
    """
    pairs = []
    for coldest in orders.named("drop_cold"):
        drawn = [o for among in (ALL, COLD) for o in orders.matched(coldest, among)]
        others = [
            o
            for o in orders.all
            if o.scope == coldest.scope and o.sparsifier not in ("drop_random", "drop_cold")
        ]
        later = [
            o for o in orders.named("drop_cold") if orders.all.index(o) > orders.all.index(coldest)
        ]
        named = [o.method for o in (*drawn, *others, *later)]
        pairs += [((coldest.method, level), (name, level)) for name in named]
        hottest = orders.named("keep_cold", coldest.scope)
        pairs += [((coldest.method, "cold"), (o.method, "hot")) for o in hottest]
    by_key = {(arm.model, arm.method, arm.level): arm for arm in arms}
    found = []
    for model, own in losses.items():
        for first, second in pairs:
            one, other = by_key.get((model, *first)), by_key.get((model, *second))
            if one and other and own.members(REASONING, one, other):
                found.append(_contrast(own, one, other))
    return found


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
    for model, own in losses.items():
        even = orders.coldest(LAYER)
        random = chosen(model, orders.matched(even)) if even else None
        for scope in (LAYER, MODEL):
            coldest = orders.coldest(scope)
            if coldest is None or REASONING not in own.tasks:
                continue
            steps: list[tuple[str, Arm | None]] = [
                (LAYERS, random if scope == MODEL else None),
                (HOTNESS, chosen(model, orders.matched(coldest))),
                (ORDER, chosen(model, orders.matched(coldest, COLD))),
                ("", chosen(model, [coldest])),
            ]
            for (part, first), (_, second) in itertools.pairwise(steps):
                if first and second and own.members(REASONING, first, second):
                    # A lower accuracy is a higher loss, so the order turns round.
                    estimate, low, high = own.difference(second, first, REASONING)
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


def dense_rows(model: str, samples: pl.DataFrame, targets: pl.DataFrame) -> list[dict[str, Any]]:
    """Accuracy and chance of the unpruned model per task, and per task and step count; of tasks
    whose answers are right or wrong."""
    found = []
    answers = samples.filter(pl.col("correct").is_not_null())
    for by in (("task",), ("task", "steps")):
        facts = answers.group_by(by).agg(
            reasoning=pl.col("reasoning").first(), accuracy=pl.col("correct").mean(), n=pl.len()
        )
        levels = chance(targets, answers, by)
        for row in facts.join(levels, on=by).sort(by).iter_rows(named=True):
            found.append({"model": model, "steps": None} | row)
    return found
