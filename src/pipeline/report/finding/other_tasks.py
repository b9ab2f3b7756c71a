"""What removing the coldest costs on tasks that need no reasoning, and on texts."""

from collections.abc import Collection, Sequence

from pipeline.config.orders import LAYER
from pipeline.report.finding.facts import Facts, Rows, nats


def controls(models: Sequence[str], curves: Rows, facts: Facts) -> str:
    """What the coldest cost on tasks that need no reasoning and have right answers."""
    coldest = facts.orders.coldest(LAYER)
    if coldest is None:
        return ""
    losses_by_task: dict[str, list[str]] = {}
    for row in curves:
        of_coldest = (row["method"], row["level"]) == (coldest.method, facts.level)
        if of_coldest and not row["reasoning"] and row["model"] in models:
            losses_by_task.setdefault(row["task"], []).append(
                f"{facts.scale.loss(row)} on {row['model']}"
            )
    if not losses_by_task:
        return ""
    parts = [f"{task} {' and '.join(losses)}" for task, losses in losses_by_task.items()]
    return (
        f"Of tasks that need no reasoning, the coldest {facts.share} of every layer cost "
        f"{'; '.join(parts)}."
    )


def texts(perplexity: Rows, facts: Facts, without: Collection[str] = ()) -> list[str]:
    """One sentence a task that scores texts, at the reference level, on all models but those
    `without`."""
    coldest = facts.orders.coldest(LAYER)
    if coldest is None:
        return []
    random = {order.method for order in facts.orders.matched(coldest)}
    said = []
    rows = [r for r in perplexity if r["level"] == facts.level and r["model"] not in without]
    for task, reasoning in {row["task"]: row["reasoning"] for row in rows}.items():
        parts, scale = [], nats(task)
        for model in dict.fromkeys(row["model"] for row in rows):
            here = [row for row in rows if (row["model"], row["task"]) == (model, task)]
            cost = next((row for row in here if row["method"] == coldest.method), None)
            other = next((row for row in here if row["method"] in random), None)
            if cost:
                beside = f" (as many at random {scale.loss(other)})" if other else ""
                parts.append(f"{scale.loss(cost)} on {model}{beside}")
        if parts:
            kind = "" if reasoning else ", which needs no reasoning,"
            said.append(
                f"On {task}{kind} the coldest {facts.share} of every layer cost, in nats a token, "
                f"{' and '.join(parts)}."
            )
    return said
