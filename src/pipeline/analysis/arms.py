"""Evaluated conditions, paired with the dense run of their model and grouped over seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from pipeline.errors import UserError
from pipeline.numerics.measures import MEASURES
from pipeline.tables.curves import DENSE

_ITEM = ("task", "item", "item_hash", "prompt_hash")


@dataclass(frozen=True)
class Evaluated:
    """One evaluated condition; frames have the columns of tables.samples.SAMPLES and SPARSITY,
    `measure` is as in tables.curves.CURVES."""

    model: str
    method: str
    level: str
    seed: int
    samples: pl.DataFrame
    sparsity: pl.DataFrame
    measure: str | None = None
    #: Body of tables.plan.PLAN; None for the dense model.
    plan: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Text:
    """Likelihoods of a task that scores texts: `nats` is (seeds, texts), `tokens` (texts,)."""

    nats: np.ndarray
    tokens: np.ndarray
    reasoning: bool = False

    @property
    def log_perplexity(self) -> float:
        """Nats a token over all texts, mean over seeds."""
        return float(self.nats.sum(axis=1).mean() / self.tokens.sum())


@dataclass(frozen=True)
class Arm:
    """One model, method and level. `right[task]` is (seeds, items) of bool, with the items of the
    dense run; for tasks that score texts, `texts[task]` takes its place. `sparsity` holds
    tables.samples.SPARSITY of all seeds. By task, `nonfinite` counts the items, once per seed,
    whose scores are not finite numbers, and `out_of_form` is the share of responses in which the
    task's filter finds no answer; `untouched` are the tasks on whose tokens the method imposed
    nothing, although it did on those of other tasks."""

    model: str
    method: str
    level: str
    seeds: int
    right: dict[str, np.ndarray]
    texts: dict[str, Text]
    sparsity: pl.DataFrame
    measure: str | None = None
    #: Bodies of tables.plan.PLAN, one per seed; empty for the dense model.
    plans: tuple[Mapping[str, Any], ...] = ()

    nonfinite: dict[str, int] = field(default_factory=dict)
    out_of_form: dict[str, float] = field(default_factory=dict)
    untouched: frozenset[str] = frozenset()

    def removed(self, name: str) -> float | None:
        """Mean over the seeds of a share that the plans record for their removed neurons, or
        None."""
        values = [plan[name] for plan in self.plans]
        return float(np.mean(values)) if values and None not in values else None

    def accuracy(self, task: str) -> float:
        """Share right over seeds and items."""
        return float(self.right[task].mean())

    def achieved(self, tasks: Sequence[str]) -> dict[str, float]:
        """The six sparsity figures over all tokens of the tasks and seeds."""
        rows = self.sparsity.filter(pl.col("task").is_in(list(tasks)))
        figures = {}
        for basis in ("imposed", "total"):
            part = rows.filter(pl.col("basis") == basis)
            for measure in MEASURES:
                mean = (part[measure] * part["tokens"]).sum() / part["tokens"].sum()
                figures[f"{measure}_{basis}"] = float(mean)
        return figures


def arms(evaluated: Sequence[Evaluated]) -> tuple[list[Arm], list[dict[str, Any]]]:
    """(arms, the dense ones among them; rows of tables.curves.REFUSED).

    Raises UserError when a condition was not evaluated on the items and prompts of its dense run.
    """
    dense = {e.model: _sorted(e.samples) for e in evaluated if e.method == DENSE}
    groups: dict[tuple[str, str, str], list[Evaluated]] = {}
    refused = []
    for condition in evaluated:
        reason = condition.sparsity["refused"].drop_nulls()
        if len(reason):
            refused.append(_facts(condition) | {"seed": condition.seed, "reason": reason[0]})
        else:
            _check_pairs(condition, dense[condition.model])
            key = (condition.model, condition.method, condition.level)
            groups.setdefault(key, []).append(condition)
    return [_arm(*key, group) for key, group in groups.items()], refused


def _arm(model: str, method: str, level: str, group: Sequence[Evaluated]) -> Arm:
    by_seed = [_by_task(_sorted(condition.samples)) for condition in group]
    right, texts, nonfinite, out_of_form = {}, {}, {}, {}
    for task, first in by_seed[0].items():
        rows = pl.concat([seed[task] for seed in by_seed])
        nonfinite[task] = int((~rows["finite"]).sum())
        if first["in_form"].count():
            out_of_form[task] = 1 - float(rows["in_form"].mean())
        if first["correct"].null_count():
            nats = np.stack([seed[task]["nats"].to_numpy() for seed in by_seed])
            texts[task] = Text(nats, first["scored_tokens"].to_numpy(), first["reasoning"][0])
        else:
            right[task] = np.stack([seed[task]["correct"].to_numpy() for seed in by_seed])
    sparsity = pl.concat([c.sparsity for c in group])
    plans = tuple(c.plan for c in group if c.plan is not None)
    facts = (group[0].measure, plans, nonfinite, out_of_form, _untouched(sparsity))
    return Arm(model, method, level, len(group), right, texts, sparsity, *facts)


def _untouched(sparsity: pl.DataFrame) -> frozenset[str]:
    imposed = sparsity.filter(pl.col("basis") == "imposed")
    most = imposed.group_by("task").agg(pl.max_horizontal(pl.col(MEASURES).max()).alias("most"))
    touched = {task: bool(share) for task, share in most.iter_rows()}
    return frozenset(task for task in touched if any(touched.values()) and not touched[task])


def _by_task(samples: pl.DataFrame) -> dict[str, pl.DataFrame]:
    parts = samples.group_by("task", maintain_order=True)
    return {str(task): rows for (task,), rows in parts}


def _check_pairs(condition: Evaluated, dense: pl.DataFrame) -> None:
    own = _sorted(condition.samples).select(_ITEM)
    if not own.equals(dense.select(_ITEM)):
        raise UserError(
            f"{condition.model}, {condition.method} at {condition.level}, seed {condition.seed}: "
            "not the items or prompts of the dense run, so nothing can be paired; remove its "
            "samples.parquet and run again"
        )


def _sorted(samples: pl.DataFrame) -> pl.DataFrame:
    return samples.sort("task", "item")


def _facts(condition: Evaluated) -> dict[str, Any]:
    return {"model": condition.model, "method": condition.method, "level": condition.level}
