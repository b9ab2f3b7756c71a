"""The comparisons of the finding on texts, in nats a token.

They tell what pruning costs a model that is not clear of chance on the tasks.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.analysis.arms import Arm
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.pairs import pairs, parts
from pipeline.analysis.perplexity import difference
from pipeline.config.orders import Orders

Rows = list[dict[str, Any]]


def text_contrasts(arms: Sequence[Arm], orders: Orders, level: str, resamples: Resamples) -> Rows:
    """Nats a token under the first minus nats a token under the second, for every model that has
    both and every task that scores texts; which are compared is as with accuracies."""
    by_key = {(arm.model, arm.method, arm.level): arm for arm in arms}
    chosen = pairs(orders, level)
    rows: Rows = []
    for model in dict.fromkeys(arm.model for arm in arms):
        for first, second in chosen:
            one, other = by_key.get((model, *first)), by_key.get((model, *second))
            if one and other:
                for task, found in _differences(one, other, resamples):
                    sides = {"first": _side(one, task), "second": _side(other, task)}
                    size = {"n": len(one.texts[task].tokens)}
                    rows.append({"model": model, "task": task} | sides | found | size)
    return rows


def text_decomposition(
    arms: Sequence[Arm], orders: Orders, level: str, resamples: Resamples
) -> Rows:
    """What the difference between as many random neurons and the coldest is made of, in nats a
    token: a row a model, task, scope and part."""
    rows: Rows = []
    for model in dict.fromkeys(arm.model for arm in arms):
        at_level = {a.method: a for a in arms if (a.model, a.level) == (model, level)}
        for scope, part, first, second in parts(orders, at_level):
            for task, found in _differences(first, second, resamples):
                head = {"model": model, "task": task, "scope": scope, "part": part}
                rows.append(head | {"first": first.method, "second": second.method} | found)
    return rows


def _differences(
    first: Arm, second: Arm, resamples: Resamples
) -> Iterator[tuple[str, dict[str, float]]]:
    """(task, difference with its interval) of every task of texts that both touch and that gives
    an interval."""
    for task in first.texts:
        if task not in first.untouched | second.untouched:
            found = difference(first, second, task, resamples)
            if found:
                yield task, dict(zip(("estimate", "low", "high"), found, strict=True))


def _side(arm: Arm, task: str) -> dict[str, Any]:
    share = arm.achieved([task])["neuron_sparsity_imposed"]
    return {"method": arm.method, "level": arm.level, "neuron_sparsity": share}
