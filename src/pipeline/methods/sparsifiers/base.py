"""What a sparsifier that goes token by token is: fitted on text, then hooked on a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config.level import Level
from pipeline.config.roles import First
from pipeline.methods.masks import Masks
from pipeline.methods.part import Part
from pipeline.methods.plan import Arrays, Refused
from pipeline.models.batches import Batch, batches
from pipeline.models.blocks import Blocks
from pipeline.models.skips import LayerRules
from pipeline.models.views import ModelView, view
from pipeline.numerics.histograms import Magnitudes

if TYPE_CHECKING:
    import polars as pl

#: Tokens that single blocks are run on, and that achieved sparsity is measured on.
BLOCK_TOKENS, MEASURED_TOKENS = 1024, 8192
#: One part in so many of the sequences is held out of training.
_HELD_OUT = 10
_DRAW = 0

Curve = list[dict[str, Any]]


@dataclass(eq=False)
class Evidence:
    """What fitting may look at: the model as the earlier parts of the method left it, and text.

    `tables` gives tables.neurons.HISTOGRAMS of that model on that text, and `residuals` the arrays
    of profiling.collect.residual_sample on at most so many tokens of given sequences. `hot`,
    (layers, d_ff) bool, and `neurons` (static.Neurons) are those of the original model; None
    without a classification. `checkpoint` is where training may keep what it needs to go on, and
    `fingerprint` tells what it is about.
    """

    model: Any
    sequences: Sequence[Sequence[int]]
    special: Sequence[int]
    tables: "Callable[[], pl.DataFrame]"
    residuals: Callable[[Sequence[Sequence[int]], int], Mapping[str, np.ndarray]]
    hot: np.ndarray | None = None
    neurons: Any = None
    scope: str = "model"
    seed: int = 0
    batch_size: int = 64
    checkpoint: Path | None = None
    fingerprint: str = ""
    matched: np.ndarray | None = None

    @cached_property
    def layout(self) -> ModelView:
        """The model's view."""
        return view(self.model)

    @cached_property
    def magnitudes(self) -> Callable[[int, str], Magnitudes]:
        """A function: layer and tensor, or one of the linear layers that read it -> its |x|."""
        found: dict[tuple[int, str], Magnitudes] = {}
        for (layer, tensor), rows in self.tables().group_by("layer", "tensor"):
            for name in str(tensor).split(","):
                found[int(str(layer)), name] = Magnitudes(rows)
        return lambda layer, tensor: found[layer, tensor]

    @cached_property
    def _order(self) -> list[int]:
        generator = np.random.default_rng(_DRAW)
        return [int(index) for index in generator.permutation(len(self.sequences))]

    @cached_property
    def held_out(self) -> list[Sequence[int]]:
        """A tenth of the sequences, drawn once, at least one: no training sees them."""
        return [self.sequences[i] for i in self._order[: self._left]]

    @cached_property
    def training(self) -> list[Sequence[int]]:
        """The other sequences; all of them where there is only one."""
        return [self.sequences[i] for i in self._order[self._left :] or self._order]

    @property
    def _left(self) -> int:
        return max(1, len(self.sequences) // _HELD_OUT)

    @cached_property
    def blocks(self) -> Blocks:
        """The model's blocks, to be run one by one on a few sequences."""
        return Blocks(self.model, self.layout.blocks, self.batched(BLOCK_TOKENS))

    def batched(self, tokens: int) -> list[Batch]:
        """Some sequences, drawn once, of about so many tokens, in batches."""
        held = np.cumsum([len(self.sequences[i]) for i in self._order])
        count = max(1, int(np.searchsorted(held, tokens, side="right")))
        return self.in_batches([self.sequences[i] for i in self._order[:count]])

    def in_batches(self, sequences: Sequence[Sequence[int]]) -> list[Batch]:
        """Sequences in batches, on the model's device."""
        device = str(next(self.model.parameters()).device)
        return list(batches(sequences, self.batch_size, self.special, device))


class Sparsifier(Part):
    """Base of all: decides at every token, unless it is `static`, with defaults of what most have
    no need for."""

    #: True where neurons are the same at every token.
    static = False
    #: Which neurons it removes first, of sparsifiers that go along the classification's order or
    #: draw; None of all others.
    order: First | None = None
    #: What a part of the model is called, of sparsifiers whose levels number parts.
    part = ""
    #: What its speed is measured as, one of models.skips.FORMS; None where there is none.
    kernel_form: str | None = None
    #: Where in a sequence the method must start; None where that is a choice.
    sparse_from: str | None = None

    @staticmethod
    def prepares(options: Mapping[str, Any]) -> bool:
        """True where levels share work worth a job of its own."""
        return False

    @classmethod
    def needs_classification(cls, options: Mapping[str, Any]) -> bool:
        """True where the sparsifier goes by what is hot and cold."""
        return cls.static

    def check(self, layout: ModelView, options: Any) -> None:
        """Raise Refused where the method makes no sense for this model."""

    def most(self, evidence: Evidence, options: Any) -> float:
        """The highest share that there is a condition for."""
        return 1.0

    def prepare(self, evidence: Evidence, options: Any) -> tuple[Arrays, Curve]:
        """What all levels share, and the loss curves of what was trained for it."""
        return {}, []

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """What attaching needs at one setting; `share` is from 0, dense, to 1, and skips the more
        the higher it is."""
        raise NotImplementedError

    def at_level(self, evidence: Evidence, prepared: Arrays, options: Any, level: Level) -> Arrays:
        """`at` the share that the level is, unless a sparsifier takes other levels."""
        return self.at(evidence, prepared, options, level.share)

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the sparsifier on a model."""
        raise NotImplementedError

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """What every block skips, in the kernels' terms; `from_start` when at every token. Raises
        Refused where they have no form of it."""
        raise Refused(
            "this sparsifier has no form in the kernels: it must know all of h, or all inputs, "
            "before it skips any, or adds something for what it skips"
        )
