"""The profiles of a study as the report reads them.

Rows are those of tables.neurons.LAYERS, of tables.sampled.CETT_CURVE and of tables.power_law, each
with its `model`; `models` are names in the order of the figures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.tables.named import Folders, read_each, rows_of
from pipeline.tables.neurons import LAYERS
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED
from pipeline.tables.sampled import CETT_CURVE

Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Profiles:
    """The profiles of a study, as rows; `models` in the order of the configuration."""

    models: Sequence[str]
    layers: Rows
    cett_curves: Rows
    power_law: Rows
    ranked: Rows
    overlaps: Rows

    @classmethod
    def read(
        cls,
        layers: Sequence[Path],
        cett_curves: Sequence[Path],
        spreads: Sequence[Path],
        ranked: Sequence[Path],
        overlaps: Sequence[Path],
        folders: Folders,
    ) -> "Profiles":
        """From files: `layers` and `cett_curves` of every model and corpus, the others of every
        model. `folders` says what each file is about; models are in the order of `spreads`."""
        by_model = list(read_each(POWER_LAW, spreads, folders))
        return cls(
            [facts["model"] for facts, _ in by_model],
            rows_of(read_each(LAYERS, layers, folders)),
            rows_of(read_each(CETT_CURVE, cett_curves, folders)),
            rows_of(by_model),
            rows_of(read_each(RANKED, ranked, folders)),
            rows_of(read_each(HOT_OVERLAPS, overlaps, folders)),
        )

    def spreads(self) -> list[Row]:
        """A row a model and corpus: the whole model's POWER_LAW, with `block_share`, the mean over
        layers of the share of a layer's neurons that carry 80 % of its activations."""
        spreads: list[Row] = []
        for whole in self.power_law:
            if whole["layer"] is None:
                shares = [
                    row["hot_share"]
                    for row in self.power_law
                    if row["layer"] is not None
                    and (row["model"], row["corpus"]) == (whole["model"], whole["corpus"])
                ]
                spreads.append({**whole, "block_share": sum(shares) / len(shares)})
        return spreads
