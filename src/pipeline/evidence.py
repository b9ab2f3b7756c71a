"""The evidence of a method, from the files of earlier stages.

The only place where profiling and methods meet outside files: a method's later parts are fitted on
the model that its earlier ones left, which no stage has profiled.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.config.models import Model
from pipeline.config.profile import Profile
from pipeline.digest import of_value
from pipeline.methods.inputs import neurons_of
from pipeline.methods.plan import Asked
from pipeline.methods.sparsifier import Evidence
from pipeline.models.loading import load
from pipeline.profiling.collect import residual_sample
from pipeline.profiling.evidence import histograms
from pipeline.profiling.shard import magnitudes
from pipeline.tables.classes import CLASSES
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import HISTOGRAMS, NEURONS
from pipeline.tables.sampled import NORMS, THRESHOLDS
from pipeline.tables.sequences import SEQUENCES

#: Parts that change what reaches the sparsifier.
_EARLIER = ("weights", "quantization")


@dataclass(frozen=True)
class Files:
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
        the digest of the code that fits: training goes on from no other's checkpoint."""
        model, tokenizer = self.load()
        rows = SEQUENCES.read(self.sequences)["tokens"].to_list()
        special = tokenizer.all_special_ids
        changed = any(part in asked.parts for part in _EARLIER)

        def tables() -> pl.DataFrame:
            if changed:
                return histograms(model, rows, special, self.profile)
            return HISTOGRAMS.read(self.histograms)

        def residuals(text: Sequence[Sequence[int]], tokens: int) -> dict[str, np.ndarray]:
            above = magnitudes(THRESHOLDS.read(self.thresholds), NORMS.read(self.norms))
            size = self.profile.batch_size
            return residual_sample(model, text, special, above, tokens, size)

        return Evidence(
            model, rows, special, tables, residuals, self._hot, self._neurons, asked.scope,
            asked.seed, self.profile.batch_size, checkpoint, self._fingerprint(asked, source),
        )  # fmt: skip

    @contextmanager
    def checkpoint(self, beside: Path) -> Iterator[Path]:
        """A place for training to go on from, beside an output, and names that begin like it; all
        gone when the block has ended."""
        path = beside.with_name("training.checkpoint")
        path.parent.mkdir(parents=True, exist_ok=True)
        yield path
        for left in path.parent.glob(f"{path.name}*"):
            left.unlink()

    @cached_property
    def _neurons(self) -> Any:
        if not self.classes:
            return None
        others = [NEURONS.read(path) for path in self.distractor]
        return neurons_of(NEURONS.read(self.neurons), CLASSES.read(self.classes[0]), *others)

    @property
    def _hot(self) -> np.ndarray | None:
        """(layers, d_ff) bool."""
        found = self._neurons
        if found is None:
            return None
        hot = np.zeros((found.layer.max() + 1, found.neuron.max() + 1), dtype=bool)
        hot[found.layer, found.neuron] = found.hot
        return hot

    def _fingerprint(self, asked: Asked, source: str) -> str:
        record = MODEL.read(self.record)
        text = SEQUENCES.read(self.sequences).hash_rows().sum()
        settings = [self.model.model_dump(), self.profile.model_dump(), asdict(asked)]
        return of_value([source, record["weights_digest"], str(text), settings])
