"""The finding in sentences, worded by what the figures say."""

from collections.abc import Mapping
from typing import Any

from pipeline.config.orders import Orders
from pipeline.report.finding.by_texts import at_chance, by_texts
from pipeline.report.finding.coldness import coldness, of_the_model, parts_of_coldness
from pipeline.report.finding.facts import Facts, Rows
from pipeline.report.finding.other_tasks import controls, texts
from pipeline.report.finding.prediction import prediction
from pipeline.report.finding.whole_sets import whole_sets
from pipeline.report.numbers import count
from pipeline.tables.curves import REASONING

Tables = Mapping[str, Rows]


def sentences(finding: Mapping[str, Any], tables: Tables, orders: Orders) -> list[str]:
    """The answer of a study, and a sentence on scores that are no finite numbers where there are
    any.

    `finding` is the body of tables.finding.FINDING, `tables` holds the rows of the analysis by
    table, and `orders` says how the study's methods remove neurons.
    """
    return [
        *_answer(finding, tables, orders),
        *_not_finite(tables["curves"], tables["perplexity"]),
    ]


def _answer(finding: Mapping[str, Any], tables: Tables, orders: Orders) -> list[str]:
    """Whether coldness matters to reasoning, beside random neurons of the same layers, and which
    part of it; the same where the whole model is ranked; what it does to controls and texts; what
    the whole cold and hot set cost; whether activity goes with the loss.

    Figures are points of accuracy, mean of the reasoning tasks, shares of what the dense model
    scores above chance, or nats a token of texts, with their intervals in brackets. A model that is
    not clear of chance before pruning has no accuracy to lose, so texts tell what it loses.
    """
    models, curves, removals = finding["models"], tables["curves"], tables["removals"]
    perplexity, confidence = tables["perplexity"], finding["confidence"]
    level = finding["reference_level"]
    pooled = [row for row in curves if row["task"] == REASONING]
    facts = Facts(pooled, finding["contrasts"], finding["decomposition"], orders, level)
    able = [model for model in models if facts.clear_of_chance(model["model"])]
    unable = [model["model"] for model in models if model not in able]
    scored = {row["model"] for row in perplexity}
    of_texts = [model for model in unable if model in scored]
    told = by_texts(of_texts, finding, tables, orders) if of_texts else []
    if not facts.dense:
        return [
            "No task of this study has right or wrong answers that need reasoning, so nothing can "
            "be said of reasoning.",
            *(told or ["The tables tell what was measured on its other tasks."]),
        ]
    by_nats = [at_chance(of_texts, finding), *told] if told else []
    if not able:
        return by_nats or [
            "No model of this study is clear of chance on the reasoning tasks before pruning, so "
            "nothing can be said of what pruning costs.",
            "The table of the dense models shows their accuracies beside chance.",
        ]
    names = [model["model"] for model in able]
    said = [
        coldness(names, facts, confidence),
        parts_of_coldness(names, facts, removals),
        of_the_model(names, facts, removals),
        controls(names, curves, facts),
        *texts(perplexity, facts, without=of_texts),
        whole_sets(names, facts),
        *prediction(tables["correlations"], facts, confidence),
    ]
    if silent := [model for model in unable if model not in of_texts]:
        said.append(f"Not clear of chance before pruning, and left out: {', '.join(silent)}.")
    return [sentence for sentence in (*said, *by_nats) if sentence]


def _not_finite(curves: Rows, perplexity: Rows) -> list[str]:
    """A sentence on scores that are not finite numbers; none where all are."""
    lost = [r for r in (*curves, *perplexity) if r["nonfinite"] and r["task"] != REASONING]
    if not lost:
        return []
    conditions = list(dict.fromkeys(f"{r['method']} at {r['level']} on {r['model']}" for r in lost))
    more = f" and {len(conditions) - 3} other conditions" if len(conditions) > 3 else ""
    return [
        f"Scores that are not finite numbers, which count as wrong and give no nats: those of "
        f"{count(sum(row['nonfinite'] for row in lost))} items, every seed counted, by "
        f"{', '.join(conditions[:3])}{more}."
    ]
