"""Sparsifiers of linear inputs: every linear layer of a block reads only some of its channels.

How a block's share is divided among its layers is `allocation`: the same for each, or greedy, which
goes step by step to the layer whose next channels cost the block's output least (TEAL, arXiv
2408.14690, algorithm 1).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.masks import Masks, Seen
from pipeline.methods.part import FittingCost
from pipeline.methods.plan import Arrays
from pipeline.methods.sparsifiers.base import BLOCK_TOKENS, Curve, Evidence, Sparsifier
from pipeline.models.forward import Forward, Skipped
from pipeline.models.views import linear_layers
from pipeline.numerics.roots import norms

if TYPE_CHECKING:
    import torch

    Rule = Callable[[torch.Tensor], torch.Tensor]

#: Share of a block's weights that one greedy step spares.
STEP = 1 / 40
_ROUNDING = 1e-9


class Options(Section):
    """How a block's share is divided among its linear layers."""

    allocation: Literal["uniform", "greedy"] = Field(
        "uniform",
        description="`uniform`: every linear layer skips the same share of its inputs; `greedy`: "
        "every block skips the same share of its weights, divided among its layers so that its "
        "output changes least",
    )


class ByInput(Sparsifier):
    """Base of these sparsifiers: `setting` turns a layer's share into a number, `keep` turns that
    number into a rule."""

    Options = Options

    def setting(self, evidence: Evidence, layer: int, name: str, share: float) -> float:
        """The number that makes the rule of linear layer `name` of a block skip `share`."""
        raise NotImplementedError

    def keep(self, module: "torch.nn.Module", setting: float) -> "Rule":
        """A rule: input (..., channels) -> bool of its shape, true for channels read."""
        raise NotImplementedError

    @staticmethod
    def prepares(options: Mapping[str, Any]) -> bool:
        """True for the greedy path, since all levels lie on it."""
        return bool(options["allocation"] == "greedy")

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """The cost of the greedy path, each step of which tries all of a block's layers, about
        seven."""
        return FittingCost(tokens=7 / STEP * BLOCK_TOKENS if options.allocation == "greedy" else 0)

    def prepare(self, evidence: Evidence, options: Any) -> tuple[Arrays, Curve]:
        """`LAYER/path`, (steps, linear layers): shares along the greedy path, the first all 0."""
        if options.allocation == "uniform":
            return {}, []
        found: Arrays = {}
        hidden = evidence.blocks.first
        for layer in range(len(evidence.layout.blocks)):
            found[f"{layer}/path"] = self._path(evidence, layer, hidden)
            hidden = evidence.blocks.run(layer, hidden)
        return found, []

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """`shares` and `settings`, (layers, linear layers of a block) float64."""
        shares, settings = [], []
        for layer, block in enumerate(evidence.layout.blocks):
            named = list(linear_layers(block))
            wanted = np.full(len(named), share)
            if options.allocation == "greedy":
                sizes = np.array([module.weight.numel() for _, module in named])
                wanted = along(prepared[f"{layer}/path"], sizes, share)
            shares.append(wanted)
            settings.append(
                [self._set(evidence, layer, n, s) for (n, _), s in zip(named, wanted, strict=True)]
            )
        return {"shares": np.array(shares), "settings": np.array(settings, dtype=np.float64)}

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the rule of every linear layer."""
        for layer, settings in enumerate(arrays["settings"]):
            named = linear_layers(masks.layout.blocks[layer])
            rules = [self.keep(m, float(s)) for (_, m), s in zip(named, settings, strict=True)]
            _hook(masks, layer, rules)

    def _set(self, evidence: Evidence, layer: int, name: str, share: float) -> float:
        """`setting`, except for a share of 0: then 0, at which a rule skips at most zeros."""
        return self.setting(evidence, layer, name, float(share)) if share > 0 else 0.0

    def _path(self, evidence: Evidence, layer: int, hidden: "Sequence[torch.Tensor]") -> np.ndarray:
        """The greedy path of one block; `hidden` is what reaches it in the dense model."""
        named = list(linear_layers(evidence.layout.blocks[layer]))
        blocks = evidence.blocks
        whole = blocks.counted(blocks.run(layer, hidden))
        known: dict[tuple[int, float], Rule] = {}

        def rule(place: int, share: float) -> "Rule":
            # A trial changes the share of one layer.
            if (place, share) not in known:
                name, module = named[place]
                known[place, share] = self.keep(module, self._set(evidence, layer, name, share))
            return known[place, share]

        def error(shares: np.ndarray) -> float:
            rules = [rule(place, float(share)) for place, share in enumerate(shares)]
            with ExitStack() as ends:
                _hook(Masks(evidence.layout, Forward(), ends), layer, rules)
                output = blocks.counted(blocks.run(layer, hidden))
            # Over channels, token by token.
            return float((output - whole).double().norm(dim=-1).mean())

        return greedy(np.array([module.weight.numel() for _, module in named]), error)


def _hook(masks: Masks, layer: int, rules: "Sequence[Rule]") -> None:
    """Hook the rules of a block's linear layers."""
    down = masks.layout.ffns[layer].down.module
    for (_, module), keep in zip(linear_layers(masks.layout.blocks[layer]), rules, strict=True):
        if module is down:
            masks.neurons(layer, _hidden(keep))
        else:
            masks.inputs(module, keep)


def _hidden(keep: "Rule") -> Callable[[Seen], Skipped]:
    return lambda seen: Skipped(hidden=~keep(seen.hidden))


def greedy(
    sizes: np.ndarray, error: Callable[[np.ndarray], float], step: float = STEP
) -> np.ndarray:
    """Shares along the path of least error, (steps, layers), from all 0 to all 1.

    `sizes` are the layers' weights. Every step spares `step` of all weights in one layer (or what
    is left of that layer, if less): the layer after which `error` of the shares is smallest, the
    first of equal ones. The layers' true sizes count: the steps of narrow key and value projections
    are long in share.
    """
    shares = np.zeros(len(sizes))
    path = [shares]
    while shares.min() < 1:
        trials = []
        for layer in np.flatnonzero(shares < 1):
            trial = shares.copy()
            longer = trial[layer] + step * sizes.sum() / sizes[layer]
            # Sums of steps may end just beside 1; the difference does not become a step of its own.
            trial[layer] = longer if longer < 1 - _ROUNDING else 1.0
            trials.append(trial)
        shares = min(trials, key=error)
        path.append(shares)
    return np.array(path)


def along(path: np.ndarray, sizes: np.ndarray, share: float) -> np.ndarray:
    """Shares of the layers, (layers,), at which `share` of all weights is spared: on the straight
    line between two steps of the path."""
    spared = path @ sizes / sizes.sum()
    return np.array([np.interp(share, spared, column) for column in path.T])


def column_norms(weight: "torch.Tensor") -> "torch.Tensor":
    """||W[:, i]||_2 of every input channel, (inputs,), float32: in 16 bits, products with inputs
    would round to equal values or overflow."""
    return norms(weight, 0).float()


def largest(scores: "torch.Tensor", number: int) -> "torch.Tensor":
    """Bool like `scores`, (..., channels): true at the `number` largest of each row; among equal
    scores, which ones is not defined."""
    import torch

    # On a CPU topk sorts what it finds; finding only the smallest of them takes a quarter to a
    # tenth of the time.
    if scores.device.type == "cpu" and 0 < number < scores.shape[-1]:
        place = scores.shape[-1] - number
        parted = np.partition(scores.float().numpy(force=True), place, axis=-1)
        kept = scores >= torch.from_numpy(parted[..., place : place + 1]).to(scores.dtype)
        # Not where the smallest has equals, or is NaN.
        if bool((kept.sum(-1) == number).all()):
            return kept
    kept = torch.zeros_like(scores, dtype=torch.bool)
    return kept.scatter(-1, scores.topk(number, dim=-1).indices, True)
