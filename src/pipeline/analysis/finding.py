"""The finding: paired contrasts between the arms, facts of the models, and sentences."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from pipeline.analysis.arms import Arm, Evaluated
from pipeline.analysis.chance import chance
from pipeline.analysis.curves import Losses
from pipeline.analysis.sentences import not_finite, sentences
from pipeline.config.analysis import Analysis
from pipeline.config.methods import level_text
from pipeline.tables.curves import DENSE, REASONING

#: Sparsifiers of the two arms.
COLDEST, HOTTEST = "drop_cold", "keep_cold"


def finding(
    arms: Sequence[Arm],
    losses: Mapping[str, Losses],
    rows: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    evaluated: Sequence[Evaluated],
    targets: pl.DataFrame,
    sparsifiers: Mapping[str, str],
    correlations: Sequence[Mapping[str, Any]],
    perplexity: Sequence[Mapping[str, Any]],
    analysis: Analysis,
) -> dict[str, Any]:
    """The body of tables.finding.FINDING.

    `rows` are those of CURVES, `correlations` those of
    CORRELATIONS, `perplexity` those of PERPLEXITY, `models` those of the
    document's key `models`, `targets` as chance wants them; `sparsifiers` maps method names to
    sparsifiers.
    """
    found = contrasts(arms, losses, sparsifiers, level_text(analysis.reference_level))
    dense = [
        row
        for e in evaluated
        if e.method == DENSE
        for row in dense_rows(e.model, e.samples, targets)
    ]
    return {
        "sentences": [
            *sentences(
                models, rows, perplexity, found, correlations, sparsifiers, analysis.confidence
            ),
            *not_finite(rows, perplexity),
        ],
        "confidence": analysis.confidence,
        "bootstrap": analysis.bootstrap,
        "models": list(models),
        "dense": dense,
        "contrasts": found,
    }


def contrasts(
    arms: Sequence[Arm],
    losses: Mapping[str, Losses],
    sparsifiers: Mapping[str, str],
    level: str,
) -> list[dict[str, Any]]:
    """Loss under the first minus loss under the second, for every model that has both.

    All cold against all hot neurons, and, at the reference level, the coldest against every
    control, against the hottest, and against the coldest by every later method.
    """
    by_key = {(arm.model, arm.method, arm.level): arm for arm in arms}
    cold = [name for name, used in sparsifiers.items() if used == COLDEST]
    hot = [name for name, used in sparsifiers.items() if used == HOTTEST]
    pairs = [((a, "cold"), (b, "hot")) for a in cold for b in hot]
    others = [(a, b) for a in cold for b in sparsifiers if b not in cold]
    others += list(itertools.combinations(cold, 2))
    pairs += [((a, level), (b, level)) for a, b in others]
    found = []
    for model, own in losses.items():
        for first, second in pairs:
            one, other = by_key.get((model, *first)), by_key.get((model, *second))
            if one and other and own.members(REASONING, one, other):
                found.append(_contrast(own, one, other))
    return found


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
