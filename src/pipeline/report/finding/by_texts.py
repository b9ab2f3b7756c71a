"""What texts tell where accuracy cannot: the finding in nats a token."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config.level import COLD, HOT
from pipeline.config.orders import LAYER, Orders
from pipeline.config.roles import HOTTEST
from pipeline.report.finding.coldness import coldness, of_the_model, parts_of_coldness
from pipeline.report.finding.facts import Facts, Rows, nats, turned
from pipeline.report.finding.other_tasks import texts
from pipeline.report.finding.whole_sets import NO_SETS, whole_sets_of_text
from pipeline.report.numbers import percent

Tables = Mapping[str, Rows]


def at_chance(models: Sequence[str], finding: Mapping[str, Any]) -> str:
    """That accuracy cannot tell what pruning costs these models, with their accuracies beside
    chance."""
    known = {row["model"]: row for row in finding["dense_reasoning"]}
    scores = []
    for row in (known[model] for model in models):
        ends = f"[{percent(row['low'])}, {percent(row['high'])}]"
        scores.append(
            f"{row['model']} gets {percent(row['accuracy'])} {ends} right on the mean of the "
            f"reasoning tasks, where chance is {percent(row['chance'])}"
        )
    return (
        "Accuracy cannot tell what pruning costs a model that is not clear of chance before it: "
        f"unpruned, {'; '.join(scores)}. Texts tell instead, in nats a token."
    )


def by_texts(
    models: Sequence[str], finding: Mapping[str, Any], tables: Tables, orders: Orders
) -> list[str]:
    """What pruning costs these models on every task that scores texts: coldness beside random
    neurons of the same layers, its parts, the ranking of the whole model, the hottest, and the
    whole sets."""
    perplexity = [row for row in tables["perplexity"] if row["model"] in models]
    said = []
    for task in dict.fromkeys(row["task"] for row in perplexity):
        rows, contrasts, parts = (
            [row for row in of if row["task"] == task]
            for of in (perplexity, finding["text_contrasts"], finding["text_decomposition"])
        )
        level = finding["reference_level"]
        facts = Facts(rows, contrasts, parts, orders, level, nats(task))
        said += _of_task(task, models, facts, tables["removals"], finding["confidence"])
        said.append(whole_sets_of_text(models, facts))
    if not any(row["level"] in (COLD.text, HOT.text) for row in perplexity):
        said.append(NO_SETS)
    return [sentence for sentence in said if sentence]


def _of_task(
    task: str, models: Sequence[str], facts: Facts, removals: Rows, confidence: float
) -> list[str]:
    compared = [model for model in models if _compared(model, facts)]
    more = (
        parts_of_coldness(models, facts, removals),
        _hottest(models, facts),
        of_the_model(models, facts, removals),
    )
    return [
        coldness(compared, facts, confidence) if compared else "",
        # Without an interval there is no verdict, but there is a cost.
        *texts(facts.rows, facts, without=compared),
        *(_on(task, sentence) for sentence in more),
    ]


def _compared(model: str, facts: Facts) -> bool:
    """True where the coldest of every layer were compared with as many drawn at random."""
    coldest = facts.orders.coldest(LAYER)
    if coldest is None:
        return False
    return facts.contrast(model, coldest, facts.orders.matched(coldest)) is not None


def _hottest(models: Sequence[str], facts: Facts) -> str:
    """The hottest of every layer beside as many of the coldest."""
    coldest, hottest = facts.orders.coldest(LAYER), facts.orders.named(HOTTEST, LAYER)
    more = [
        f"{facts.scale.more_or_less(turned(row))} on {model}"
        for model in models
        if coldest and (row := facts.contrast(model, coldest, hottest))
    ]
    if not more:
        return ""
    return f"As many of the hottest of every layer cost {' and '.join(more)} than the coldest."


def _on(task: str, sentence: str) -> str:
    """A sentence that names no task, begun with the task."""
    return f"On {task}, {sentence[:1].lower()}{sentence[1:]}" if sentence else ""
