"""What every analysis of a study starts from: its evaluated conditions, paired and in order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from pipeline.analysis.arms import Arm, Evaluated, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.chance import chance
from pipeline.analysis.losses import Losses
from pipeline.config.analysis import Analysis
from pipeline.config.orders import Orders
from pipeline.tables.curves import DENSE, REASONING

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Backbone:
    """A model before pruning: its model.json, the layers of its profile and its classification."""

    record: Mapping[str, Any]
    layers: pl.DataFrame
    classification: Mapping[str, Any]


@dataclass(frozen=True)
class PartProfile:
    """The profile and classification by which a method removes one `part` of a model at a time, a
    decile (of each layer or of the model) or a layer; frames have the columns of
    tables.neurons.NEURONS and tables.classes.CLASSES."""

    model: str
    method: str
    part: str
    by_layer: bool
    neurons: pl.DataFrame
    classes: pl.DataFrame

    def joined(self) -> pl.DataFrame:
        """Profile and classification, a row a neuron."""
        keys = ["layer", "neuron"]
        return self.neurons.join(self.classes, on=keys, validate="1:1").sort(keys)


@dataclass(frozen=True)
class Material:
    """The results of a study as its analyses read them.

    `evaluated` holds all conditions, dense runs among them, `targets` the task, steps and target of
    every item of the tasks, and `orders` how the methods that remove neurons for good go.
    """

    evaluated: Sequence[Evaluated]
    backbones: Sequence[Backbone]
    parted: Sequence[PartProfile]
    targets: pl.DataFrame
    orders: Orders
    settings: Analysis
    seed: int

    @cached_property
    def _paired(self) -> tuple[list[Arm], Rows]:
        return arms(self.evaluated)

    @property
    def arms(self) -> list[Arm]:
        """Every condition that was evaluated, seeds pooled; the dense runs among them."""
        return self._paired[0]

    @property
    def refused(self) -> Rows:
        """Rows of tables.curves.REFUSED."""
        return self._paired[1]

    @property
    def pruned(self) -> list[Arm]:
        """The arms that are not dense runs."""
        return [arm for arm in self.arms if arm.method != DENSE]

    @cached_property
    def dense(self) -> dict[str, Arm]:
        """The dense run of every model."""
        return {arm.model: arm for arm in self.arms if arm.method == DENSE}

    @cached_property
    def answers(self) -> dict[str, pl.DataFrame]:
        """By model, the rows of tables.samples.SAMPLES of its dense run on tasks whose answers are
        right or wrong, sorted by task and item."""
        return {
            run.model: run.samples.filter(pl.col("correct").is_not_null()).sort("task", "item")
            for run in self.evaluated
            if run.method == DENSE
        }

    @cached_property
    def losses(self) -> dict[str, Losses]:
        """By model, what its arms lost against its dense run."""
        return {
            model: Losses(
                self.dense[model],
                dict(rows.select("task", "reasoning").unique().iter_rows()),
                dict(chance(self.targets, rows).iter_rows()),
                clusters(rows),
                self.settings.confidence,
            )
            for model, rows in self.answers.items()
        }

    @cached_property
    def resamples(self) -> Resamples:
        """The draws of texts behind every interval of texts."""
        return Resamples(self.seed, self.settings.bootstrap, self.settings.confidence)

    @cached_property
    def clear_of_chance(self) -> set[str]:
        """Models that are clear of chance on the reasoning tasks before pruning; the others have
        nothing to lose."""
        return {
            model
            for model, losses in self.losses.items()
            if losses.members(REASONING, losses.dense)
            and losses.room(REASONING, losses.dense) is not None
        }


def clusters(samples: pl.DataFrame) -> dict[str, np.ndarray]:
    """Cluster of every item, (items,) of whole numbers from 0, by task; items as in `samples`."""
    return {
        str(task): np.unique(rows["cluster"].to_numpy(), return_inverse=True)[1]
        for (task,), rows in samples.group_by("task", maintain_order=True)
    }
