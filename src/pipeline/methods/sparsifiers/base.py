"""The base of all sparsifiers, and the evidence that they are fitted on."""

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
from pipeline.models.memory import Room, read_bytes
from pipeline.models.size import of_loaded
from pipeline.models.skips import LayerRules
from pipeline.models.views import ModelView, view
from pipeline.numerics.histograms import Magnitudes

if TYPE_CHECKING:
    import polars as pl

#: Numbers of tokens that single blocks are run on, and that achieved sparsity is measured on.
BLOCK_TOKENS, MEASURED_TOKENS = 1024, 8192
#: One in this many sequences is held out of training.
_HELD_OUT = 10
_DRAW = 0

Curve = list[dict[str, Any]]


@dataclass(eq=False)
class Evidence:
    """What fitting may look at: the model as the earlier parts of the method left it, and text.

    `tables` returns tables.neurons.HISTOGRAMS of that model on that text, and `residuals` the
    arrays of profiling.collect.residual_sample for given sequences and a largest number of tokens.
    `hot`, (layers, d_ff) bool, and `neurons` (static.Neurons) are those of the original model; None
    without a classification. `checkpoint` is where training may keep what it needs to go on, and
    `fingerprint` says which training that is. `room` is what a batch may hold.
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
    room: Room = Room(64)
    checkpoint: Path | None = None
    fingerprint: str = ""
    matched: np.ndarray | None = None

    @cached_property
    def layout(self) -> ModelView:
        """The model's view."""
        return view(self.model)

    @cached_property
    def magnitudes(self) -> Callable[[int, str], Magnitudes]:
        """A function from a layer and a tensor (or one of the linear layers that read it) to the
        magnitudes |x| of that tensor."""
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
        """A tenth of the sequences, at least one, drawn once; no training sees them."""
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
        """Sequences of about `tokens` tokens in all, drawn once, in batches."""
        held = np.cumsum([len(self.sequences[i]) for i in self._order])
        count = max(1, int(np.searchsorted(held, tokens, side="right")))
        return self.in_batches([self.sequences[i] for i in self._order[:count]])

    def in_batches(self, sequences: Sequence[Sequence[int]]) -> list[Batch]:
        """Sequences in batches, on the model's device."""
        device, size = str(next(self.model.parameters()).device), of_loaded(self.model)

        def fits(length: int) -> int:
            return self.room.of(read_bytes(size, length))

        return list(batches(sequences, fits, self.special, device))


class Sparsifier(Part):
    """Base of all sparsifiers: decides at every token, unless it is `static`. The defaults are for
    what most do not need."""

    #: True where the same neurons are skipped at every token.
    static = False
    #: Which neurons go first, for sparsifiers that follow the classification's order or draw at
    #: random; None for all others.
    order: First | None = None
    #: What a part of the model is called, for sparsifiers whose levels number parts.
    part = ""
    #: What its speed is measured as, one of models.skips.FORMS; None where there is none.
    kernel_form: str | None = None
    #: Where in a sequence the method must start; None where the configuration may choose.
    sparse_from: str | None = None

    @staticmethod
    def prepares(options: Mapping[str, Any]) -> bool:
        """True where levels share so much work that it gets a job of its own."""
        return False

    @classmethod
    def needs_classification(cls, options: Mapping[str, Any]) -> bool:
        """True where the sparsifier goes by what is hot and cold."""
        return cls.static

    def check(self, layout: ModelView, options: Any) -> None:
        """Raise Refused where the method makes no sense for this model."""

    def most(self, evidence: Evidence, options: Any) -> float:
        """The highest share at which the sparsifier still is a condition."""
        return 1.0

    def prepare(self, evidence: Evidence, options: Any) -> tuple[Arrays, Curve]:
        """What all levels share, and the loss curves of what was trained for it."""
        return {}, []

    def at(self, evidence: Evidence, prepared: Arrays, options: Any, share: float) -> Arrays:
        """The arrays that `attach` needs at one setting; `share` goes from 0, dense, to 1, and a
        higher share skips more."""
        raise NotImplementedError

    def at_level(self, evidence: Evidence, prepared: Arrays, options: Any, level: Level) -> Arrays:
        """`at` for the level's share; sparsifiers with other kinds of levels override it."""
        return self.at(evidence, prepared, options, level.share)

    def attach(self, masks: Masks, arrays: Arrays, options: Any) -> None:
        """Hook the sparsifier on a model."""
        raise NotImplementedError

    def for_kernels(
        self, arrays: Arrays, options: Any, layout: ModelView, from_start: bool
    ) -> list[LayerRules]:
        """What every block skips, in the kernels' terms; `from_start` says that the method is at
        work at every token. Raises Refused where the kernels have no form of it."""
        raise Refused(
            "this sparsifier has no form in the kernels: it must know all of h, or all inputs, "
            "before it skips any, or adds something for what it skips"
        )
