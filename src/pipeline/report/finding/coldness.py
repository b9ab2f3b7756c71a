"""Whether coldness matters to reasoning or texts, by layer and in the model, and which part."""

from collections.abc import Collection, Sequence

from pipeline.config.orders import LAYER, MODEL
from pipeline.report.finding.facts import Facts, Rows, direction, turned
from pipeline.report.numbers import percent

#: Share of a random draw that the coldest also take, above which the two can't be told apart.
MOSTLY_SHARED = 0.8
_COLDNESS = {
    "less": "{subject}, cold neurons matter less than random ones of the same layers",
    "more": "{subject}, cold neurons matter more than random ones of the same layers",
    "none": "{subject}, cold neurons do not clearly matter less than random ones of the same "
    "layers",
}


def coldness(models: Sequence[str], facts: Facts, confidence: float) -> str:
    coldest = facts.orders.coldest(LAYER)
    matched = facts.orders.matched(coldest) if coldest else []
    scale = facts.scale
    costs, more, directions, seeds = [], [], set(), set()
    for model in models:
        row = facts.contrast(model, coldest, matched) if coldest else None
        cost = facts.at(model, [coldest], facts.level) if coldest else None
        random = facts.at(model, matched, facts.level)
        if row and cost and random:
            costs.append(f"{scale.loss(cost)} on {model}")
            more.append(f"{scale.more_or_less(turned(row))} on {model}")
            directions.add(direction(row["low"], row["high"]))
            seeds.add(random["seeds"])
    if not costs:
        return (
            "This study compares no level of the coldest neurons of every layer with as many drawn "
            "at random."
        )
    mixed = "Cold neurons do not differ from random ones of the same layers alike on all models"
    verdict = _COLDNESS.get("".join(directions), mixed).format(subject=scale.subject)
    if min(seeds) == 1:
        verdict = "One random draw says too little of whether cold neurons matter less than others"
    return (
        f"{verdict}. Removing the coldest {facts.share} of every layer costs "
        f"{' and '.join(costs)}, in {scale.unit}. As many drawn at random cost "
        f"{' and '.join(more)} ({_draws(seeds)}, paired {percent(confidence, 0)} intervals)."
    )


def _draws(seeds: Collection[int]) -> str:
    """How many draws the models' random controls have."""
    if set(seeds) == {1}:
        return "one draw"
    low, high = min(seeds), max(seeds)
    return f"{high} draws" if low == high else f"{low} to {high} draws"


def parts_of_coldness(models: Sequence[str], facts: Facts, removals: Rows) -> str:
    """Not being hot against the order of coldness, by layer."""
    scale = facts.scale
    parts, totals = [], []
    for model in models:
        rows = {
            row["part"]: row
            for row in facts.decomposition
            if (row["model"], row["scope"]) == (model, LAYER)
        }
        hot, order = rows.get("not hot"), rows.get("order of coldness")
        if hot and order:
            totals.append(hot["estimate"] + order["estimate"])
            parts.append(
                f"{scale.effect(hot)} by not being hot and {scale.effect(order)} by their "
                f"order within the cold set on {model}"
            )
    if not parts:
        return ""
    if min(totals) > 0:
        text = f"The coldest cost less than random neurons by these parts: {'; '.join(parts)}."
    else:
        text = (
            "What random neurons cost beyond the coldest, below 0 where they cost less, has these "
            f"parts: {'; '.join(parts)}."
        )
    if shared := _shared(models, facts, removals, LAYER):
        text += f" {shared}"
    return text


def _shared(models: Sequence[str], facts: Facts, removals: Rows, scope: str) -> str:
    """Where random cold neurons are mostly the coldest themselves, order can't be told."""
    high = []
    for model in models:
        drawn = [
            row["first"]
            for row in facts.decomposition
            if (row["model"], row["scope"], row["part"]) == (model, scope, "order of coldness")
        ]
        shares = [
            row["shared_with_coldest"]
            for row in removals
            if row["model"] == model and row["method"] in drawn and row["level"] == facts.level
        ]
        known = [share for share in shares if share is not None]
        if known and sum(known) / len(known) > MOSTLY_SHARED:
            high.append(model)
    if not high:
        return ""
    return (
        f"On {' and '.join(high)} the order cannot be told: more than "
        f"{percent(MOSTLY_SHARED, 0)} of the cold neurons drawn are the coldest themselves."
    )


def of_the_model(models: Sequence[str], facts: Facts, removals: Rows) -> str:
    coldest = facts.orders.coldest(MODEL)
    if coldest is None:
        return ""
    scale = facts.scale
    parts = []
    for model in models:
        cost = facts.at(model, [coldest], facts.level)
        row = facts.contrast(model, coldest, facts.orders.matched(coldest))
        if cost:
            more = (
                f", {scale.more_or_less(row)} than as many random ones of each layer" if row else ""
            )
            parts.append(f"{scale.loss(cost)} on {model}{more}")
    if not parts:
        return ""
    text = (
        f"Ranked over the whole model instead, which may empty layers, the coldest "
        f"{facts.share} cost {' and '.join(parts)}."
    )
    if shared := _shared(models, facts, removals, MODEL):
        text += f" {shared}"
    return text
