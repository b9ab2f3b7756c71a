"""The evidence that a method is fitted on, from the files of earlier stages or from memory.

The only place where profiling and methods meet outside files: a method's later parts are fitted on
the model that its earlier ones left, which no stage has profiled.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.methods.plan import Asked
from pipeline.methods.sparsifiers.base import Evidence
from pipeline.methods.sparsifiers.neurons import neurons_of
from pipeline.methods.sparsifiers.static import Neurons
from pipeline.models.loading import load
from pipeline.models.memory import Room
from pipeline.profiling.collect import residual_sample
from pipeline.profiling.evidence import histograms
from pipeline.profiling.shard import magnitudes
from pipeline.store.digest import of_value
from pipeline.tables.classes import CLASSES
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import HISTOGRAMS, NEURONS
from pipeline.tables.sampled import NORMS, THRESHOLDS
from pipeline.tables.sequences import SEQUENCES

#: Parts that change what reaches the sparsifier.
_EARLIER = ("weights", "quantization")


@dataclass(frozen=True)
class Original:
    """What is known of the original model before a method is fitted.

    `sequences` are those of the text, `special` the tokens that never count. `histograms` returns
    the frame of tables.neurons.HISTOGRAMS, and `above`, for every layer, the |h| of each neuron at
    which its contribution is the CETT threshold, (d_ff,); only methods that need them call these.
    `neurons` is given where the method has a classification.
    """

    sequences: Sequence[Sequence[int]]
    special: Sequence[int]
    profile: Profile
    histograms: Callable[[], pl.DataFrame]
    above: Callable[[], Sequence[np.ndarray]]
    neurons: Neurons | None

    def evidence(
        self, model: Any, asked: Asked, checkpoint: Path | None = None, fingerprint: str = ""
    ) -> Evidence:
        """What fitting may look at. `model` is the original or a copy, which the method's earlier
        parts may change: it is then profiled anew. Training goes on from a `checkpoint` that has
        the same `fingerprint`."""
        changed = any(part in asked.parts for part in _EARLIER)
        room = Room(self.profile.batch_size, self.profile.batch_megabytes)

        def tables() -> pl.DataFrame:
            if changed:
                return histograms(model, self.sequences, self.special, self.profile)
            return self.histograms()

        def residuals(text: Sequence[Sequence[int]], tokens: int) -> dict[str, np.ndarray]:
            return residual_sample(model, text, self.special, self.above(), tokens, room)

        return Evidence(
            model, self.sequences, self.special, tables, residuals, _hot(self.neurons),
            self.neurons, asked.scope, asked.seed, room, checkpoint, fingerprint,
        )  # fmt: skip


def _hot(neurons: Neurons | None) -> np.ndarray | None:
    """(layers, d_ff) bool."""
    if neurons is None:
        return None
    hot = np.zeros((neurons.layer.max() + 1, neurons.neuron.max() + 1), dtype=bool)
    hot[neurons.layer, neurons.neuron] = neurons.hot
    return hot


@dataclass(frozen=True)
class EvidenceFiles:
    """Artifacts that a method is fitted on; `classes` and `distractor` are empty or hold one."""

    record: Path
    sequences: Path
    neurons: Path
    histograms: Path
    thresholds: Path
    norms: Path
    classes: Sequence[Path]
    distractor: Sequence[Path]
    model: Model
    profile: Profile

    def load(self) -> tuple[Any, Any]:
        """(model, tokenizer), the model anew each time."""
        return load(self.model, MODEL.read(self.record))

    def evidence(self, asked: Asked, checkpoint: Path, source: str) -> Evidence:
        """What fitting may look at; a model that earlier parts change is profiled anew. `source` is
        the digest of the code that fits: training does not go on from a checkpoint of other
        code."""
        model, tokenizer = self.load()
        original = Original(
            SEQUENCES.read(self.sequences)["tokens"].to_list(),
            tokenizer.all_special_ids,
            self.profile,
            lambda: HISTOGRAMS.read(self.histograms),
            lambda: magnitudes(THRESHOLDS.read(self.thresholds), NORMS.read(self.norms)),
            self._neurons,
        )
        return original.evidence(model, asked, checkpoint, self._fingerprint(asked, source))

    @contextmanager
    def checkpoint(self, beside: Path) -> Iterator[Path]:
        """A path for checkpoints beside an output; files whose names begin with it are removed when
        the block has ended."""
        path = beside.with_name("training.checkpoint")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()

    @cached_property
    def _neurons(self) -> Neurons | None:
        if not self.classes:
            return None
        others = [NEURONS.read(path) for path in self.distractor]
        return neurons_of(NEURONS.read(self.neurons), CLASSES.read(self.classes[0]), *others)

    def _fingerprint(self, asked: Asked, source: str) -> str:
        record = MODEL.read(self.record)
        text = SEQUENCES.read(self.sequences).hash_rows().sum()
        settings = [self.model.model_dump(), self.profile.model_dump(), asdict(asked)]
        return of_value([source, record["weights_digest"], str(text), settings])
