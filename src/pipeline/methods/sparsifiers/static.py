"""Static sparsifiers: a fixed set of FFN neurons is removed, the first ones of some order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.level import COLD, HOT, SHARE, Level
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.plan import Arrays, Asked, Plan, Refused, named
from pipeline.methods.sparsifiers.base import Evidence, Sparsifier
from pipeline.models.forward import Skipped
from pipeline.models.skips import SLICED, Fixed, LayerRules
from pipeline.models.views import ModelView
from pipeline.numerics.ranking import heat_ranks, ordered
from pipeline.registry import SPARSIFIERS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Neurons:
    """What a static sparsifier may look at; every array is (neurons of the model,). `heat` is what
    the classification ranks by, `frequency` how often a neuron is active, `of_distractor` the mean
    contribution on another text, not a number where there is none."""

    layer: np.ndarray
    neuron: np.ndarray
    frequency: np.ndarray
    heat: np.ndarray
    mean_contribution: np.ndarray
    weight_norm: np.ndarray
    hot: np.ndarray
    of_distractor: np.ndarray

    def subset(self, kept: np.ndarray) -> "Neurons":
        """The neurons at the given indices."""
        return Neurons(*(getattr(self, name)[kept] for name in self.__dataclass_fields__))


class Static(Sparsifier):
    """Base of all: the same neurons at every token. Arrays: `dropped`, (layers, d_ff) uint8, 1 for
    those that are removed."""

    static = True
    kernel_form = SLICED

    def at(self, evidence: Any, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The neurons that go at a share of them; 0 and 1 are shares here."""
        return self.at_level(evidence, prepared, options, Level(float(share)))

    def at_level(self, evidence: Any, prepared: Arrays, options: Any, level: Level) -> Arrays:
        """The neurons that go at a level; also Refused where they make no condition. `evidence` is
        asked for `neurons`, `scope`, `seed` and `matched`: (layers, d_ff) bool, what another method
        removed, of which this one takes as many in each layer; None for no such method."""
        neurons = evidence.neurons
        layers, width = int(neurons.layer.max()) + 1, int(neurons.neuron.max()) + 1
        dropped = np.zeros((layers, width), dtype=bool)
        groups = [np.arange(neurons.layer.size)]
        if evidence.scope == "layer" or evidence.matched is not None:
            groups = [np.flatnonzero(neurons.layer == layer) for layer in range(layers)]
        for place, group in enumerate(groups):
            part = neurons.subset(group)
            if evidence.matched is None:
                chosen = self.chosen(part, level, evidence.seed, options)
            else:
                count = int(evidence.matched[place].sum())
                chosen = self.first(part, count, evidence.seed, options)
            dropped[part.layer[chosen], part.neuron[chosen]] = True
        if self.part and not dropped.any():
            raise Refused(
                f"{self.part} {level.text}: the model has none of this number, or none of its "
                "neurons are to be removed"
            )
        return {"dropped": dropped.astype(np.uint8)}

    def chosen(self, neurons: Neurons, level: Level, seed: int, options: Any) -> np.ndarray:
        """Indices of the neurons to remove, among all or among those of one layer."""
        raise NotImplementedError

    def first(self, neurons: Neurons, count: int, seed: int, options: Any) -> np.ndarray:
        """Indices of `count` neurons to remove."""
        raise NotImplementedError

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the masks, for where weights cannot go: at tokens before, all neurons are there."""
        import torch

        for layer, row in enumerate(arrays["dropped"]):
            gone = torch.from_numpy(row.astype(bool)).to(
                masks.layout.ffns[layer].down.weight.device
            )
            masks.neurons(layer, _rule(gone))

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """Neurons that are cut out, or, where they are there for a start, take no part later."""
        import torch

        found = []
        for ffn, row in zip(layout.ffns, arrays["dropped"], strict=True):
            gone = torch.from_numpy(row.astype(bool)).to(ffn.down.weight.device)
            found.append(
                LayerRules(dropped=gone) if from_start else LayerRules(neurons=Fixed(~gone))
            )
        return found


class Ordered(Static):
    """A sparsifier that is an order of removal, and a check of how far it may go."""

    def scores(self, neurons: Neurons, seed: int) -> np.ndarray:
        """A score of every neuron, (neurons,); the lowest are removed first."""
        raise NotImplementedError

    def limit(self, removed: int, hot: int, total: int) -> None:
        """Raise Refused when removing so many neurons is no condition of this arm."""

    def chosen(self, neurons: Neurons, level: Level, seed: int, options: Any) -> np.ndarray:
        """Indices of the first neurons of the order."""
        count = _count(level, neurons.hot)
        self.limit(count, int(neurons.hot.sum()), neurons.hot.size)
        return self.first(neurons, count, seed, options)

    def first(self, neurons: Neurons, count: int, seed: int, options: Any) -> np.ndarray:
        """Indices of the first `count` neurons of the order."""
        return ordered(self.scores(neurons, seed), neurons.layer, neurons.neuron)[:count]


class Parted(Static):
    """A sparsifier that removes one part of the model, the one that the level numbers.

    `part` is what such a part is called, `numbers` the first and the last number there can be. With
    scope `layer` every layer gives its own part of that number, with `model` the model has one.
    """

    numbers: tuple[int, float] = (0, float("inf"))
    #: Of the methods that remove such parts.
    scopes: tuple[str, ...] = ("layer",)

    def members(self, neurons: Neurons, number: int) -> np.ndarray:
        """(neurons,) bool: those of the part with that number."""
        raise NotImplementedError

    def chosen(self, neurons: Neurons, level: Level, seed: int, options: Any) -> np.ndarray:
        """Indices of the part's neurons."""
        return np.flatnonzero(self.members(neurons, level.part))


def least_share(evidence: Evidence, able: np.ndarray) -> float:
    """The share of the neurons that are `able`, (neurons,) bool, to be removed: of the model, or of
    the layer with the smallest where each layer gives its own."""
    layers = evidence.neurons.layer
    if evidence.scope == "layer":
        return float(min(able[layers == layer].mean() for layer in np.unique(layers)))
    return float(able.mean())


def _rule(gone: "torch.Tensor") -> Callable[[Seen], Skipped]:
    return lambda seen: Skipped(before=gone.expand_as(seen.hidden))


@dataclass(frozen=True)
class Tables:
    """What a static sparsifier is fitted on: no model and no text."""

    neurons: Neurons
    scope: str = "model"
    seed: int = 0
    matched: np.ndarray | None = None


def fit(asked: Asked, neurons: Neurons, matched: Plan | None = None) -> Plan:
    """The plan that removes round(level * neurons) neurons, or exactly the cold or the hot set, or
    one part; of a method that is `matched` to another's plan, as many of each layer as that one.

    With scope `model` all neurons are ranked together; with `layer` each layer gives the same share
    (its own share of cold or hot for the named levels, its own part). Equal levels remove equally
    many neurons under every sparsifier that is an order.
    """
    entry = SPARSIFIERS.load(asked.parts["sparsifier"]["name"])()
    options = asked.options("sparsifier")
    facts: dict[str, Any] = {
        "parts": asked.parts,
        "level": asked.level.text,
        "seed": asked.seed,
        "sparse_from": asked.sparse_from,
        "neurons": neurons.hot.size,
        "cold": int((~neurons.hot).sum()),
    }
    if matched is not None and matched.refused:
        return Plan(**facts, refused=f"the method that it is matched to: {matched.refused}")
    tables = Tables(neurons, asked.scope, asked.seed, matched.dropped if matched else None)
    try:
        found = entry.at_level(tables, {}, entry.Options.model_validate(options), asked.level)
        _refuse_nothing(found, asked.level)
    except Refused as reason:
        return Plan(**facts, refused=str(reason))
    share = asked.level.share if asked.level.kind == SHARE else None
    shared = shared_with_coldest(found["dropped"].astype(bool), neurons) if entry.seeded else None
    arrays = named(found, "sparsifier")
    return Plan(**facts, arrays=arrays, share=share, shared_with_coldest=shared)


def _refuse_nothing(arrays: Arrays, level: Level) -> None:
    """Raise Refused where a level removes no neuron: the condition would be the dense model."""
    dropped = arrays["dropped"]
    if not dropped.any():
        layers, width = dropped.shape
        raise Refused(
            f"level {level.text} removes none of this model's {layers} layers of {width:,} neurons"
        )


def shared_with_coldest(dropped: np.ndarray, neurons: Neurons) -> float | None:
    """Share of the removed neurons, (layers, d_ff) bool, that are also among the coldest where as
    many are taken of each layer; None where none is removed."""
    if not dropped.any():
        return None
    both = 0
    for layer, row in enumerate(dropped):
        part = neurons.subset(np.flatnonzero(neurons.layer == layer))
        coldest = np.argsort(-heat_ranks(part.heat, part.layer, part.neuron))[: int(row.sum())]
        both += int(row[part.neuron[coldest]].sum())
    return both / int(dropped.sum())


def _count(level: Level, hot: np.ndarray) -> int:
    if level == COLD:
        return int((~hot).sum())
    if level == HOT:
        return int(hot.sum())
    return round(level.share * hot.size)
