"""Static sparsifiers: a fixed set of FFN neurons is removed, the first ones of some order."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from pipeline.config.methods import level_text
from pipeline.methods.plan import Plan, Refused
from pipeline.models.views import ModelView
from pipeline.ranking import ordered


@dataclass(frozen=True)
class Neurons:
    """What a static sparsifier may look at; every array is (neurons of the model,). `heat` is what
    the classification ranks by, `frequency` how often a neuron is active."""

    layer: np.ndarray
    neuron: np.ndarray
    frequency: np.ndarray
    heat: np.ndarray
    mean_contribution: np.ndarray
    weight_norm: np.ndarray
    hot: np.ndarray

    def subset(self, kept: np.ndarray) -> "Neurons":
        """The neurons at the given indices."""
        return Neurons(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


class Ordered(Protocol):
    """A sparsifier that is an order of removal, and a check of how far it may go.

    `seeded` is true when the order depends on the seed; `part` is empty.
    """

    seeded: bool
    part: str

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """(neurons,); the lowest are removed first."""
        ...

    def check(self, removed: int, hot: int, total: int) -> None:
        """Raise Refused when removing so many neurons is no condition of this arm."""
        ...


class Parted(Protocol):
    """A sparsifier that removes one part of the model, the one that the level numbers.

    `part` is what such a part is called, `numbers` the first and the last number there can be.
    """

    seeded: bool
    part: str
    numbers: tuple[int, float]

    def members(self, neurons: Neurons, number: int) -> np.ndarray:
        """(neurons,) bool."""
        ...


def fit(
    name: str,
    sparsifier: Ordered | Parted,
    neurons: Neurons,
    level: float | int | str,
    seed: int,
    scope: str,
) -> Plan:
    """The plan that removes round(level * neurons) neurons, or exactly the cold or the hot set, or
    one part.

    With scope `model` all neurons are ranked together; with `layer` each layer gives the same share
    (its own share of cold or hot for the named levels, its own part). Equal levels remove equally
    many neurons under every sparsifier that is an order.
    """
    layers, width = int(neurons.layer.max()) + 1, int(neurons.neuron.max()) + 1
    dropped = np.zeros((layers, width), dtype=bool)
    groups = [np.arange(neurons.layer.size)]
    if scope == "layer":
        groups = [np.flatnonzero(neurons.layer == layer) for layer in range(layers)]
    refused = None
    try:
        for group in groups:
            part = neurons.subset(group)
            chosen = _chosen(sparsifier, part, level, seed)
            dropped[part.layer[chosen], part.neuron[chosen]] = True
        if sparsifier.part and not dropped.any():
            raise Refused(
                f"{sparsifier.part} {level}: the model has none of this number, or none of its "
                "neurons are to be removed"
            )
    except Refused as reason:
        refused, dropped = str(reason), np.zeros_like(dropped)
    return Plan(name, level_text(level), seed, dropped, int((~neurons.hot).sum()), refused)


def _chosen(sparsifier: Any, neurons: Neurons, level: float | int | str, seed: int) -> np.ndarray:
    """Indices of the neurons to remove."""
    if sparsifier.part:
        return np.flatnonzero(sparsifier.members(neurons, level))
    count = _count(level, neurons.hot)
    sparsifier.check(count, int(neurons.hot.sum()), neurons.hot.size)
    return ordered(sparsifier.scores(neurons, seed), neurons.layer, neurons.neuron)[:count]


def apply(plan: Plan, shape: ModelView, how: str = "zero") -> None:
    """Remove the plan's neurons from the model in place, by `zero` or by `slice`."""
    import torch

    for ffn, row in zip(shape.ffns, plan.dropped, strict=True):
        getattr(ffn, how)(torch.from_numpy(row).to(ffn.down.weight.device))


def _count(level: float | int | str, hot: np.ndarray) -> int:
    if level == "cold":
        return int((~hot).sum())
    if level == "hot":
        return int(hot.sum())
    return round(float(level) * hot.size)
