"""Plans: a fitted method, enough to apply it again without calibration data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts import Manifest
from pipeline.errors import UserError
from pipeline.tables.plan import PLAN, PLAN_ARRAYS


class Refused(Exception):
    """A condition that makes no sense; its text is the reason, which the report shows."""


@dataclass(frozen=True)
class Plan:
    """`dropped` is (layers, d_ff) bool; `refused` is the reason when there is nothing to run."""

    sparsifier: str
    level: str
    seed: int
    dropped: np.ndarray
    cold: int
    refused: str | None = None

    def write(self, document: Path, arrays: Path, manifest: Manifest) -> None:
        """Write plan.json and plan.safetensors."""
        body: dict[str, Any] = {
            "sparsifier": self.sparsifier,
            "level": self.level,
            "seed": self.seed,
            "dropped": int(self.dropped.sum()),
            "neurons": int(self.dropped.size),
            "cold": self.cold,
            "refused": self.refused,
        }
        tensors = {"dropped": self.dropped.astype(np.uint8)}
        PLAN_ARRAYS.write(arrays, tensors, manifest)
        PLAN.write(document, body, manifest)

    @staticmethod
    def read(document: Path, arrays: Path) -> "Plan":
        """The plan; UserError when the two files do not belong together."""
        body = PLAN.read(document)
        dropped = PLAN_ARRAYS.read(arrays)["dropped"].astype(bool)
        if (int(dropped.sum()), int(dropped.size)) != (body["dropped"], body["neurons"]):
            raise UserError(
                f"{arrays}: not the arrays of {document.name}; remove both and run again"
            )
        return Plan(
            body["sparsifier"], body["level"], body["seed"], dropped, body["cold"], body["refused"]
        )
