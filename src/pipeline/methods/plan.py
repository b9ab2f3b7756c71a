"""Plans: a fitted method, enough to apply it again without calibration data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config.level import Level
from pipeline.errors import UserError
from pipeline.models.forward import START
from pipeline.models.views import IN_MEMORY
from pipeline.registry import PARTS
from pipeline.store.artifacts import Manifest
from pipeline.tables.plan import PLAN, PLAN_ARRAYS

Arrays = dict[str, np.ndarray]


class Refused(Exception):
    """A condition that makes no sense; its text is the reason, which the report shows."""


@dataclass(frozen=True)
class Asked:
    """What is to be fitted: the parts by kind, each {"name", "options"}, at one level.

    `measure` names an achieved measure that the level is of, None the method's own.
    """

    parts: Mapping[str, Mapping[str, Any]]
    level: Level
    measure: str | None = None
    sparse_from: str | int = START
    scope: str = "model"
    seed: int = 0

    @classmethod
    def of(cls, level: float | int | str, seed: int = 0, **config: Any) -> "Asked":
        """What is asked for in plain values, as a rule hands them on."""
        return cls(level=Level.of(level), seed=seed, **config)

    def options(self, kind: str) -> Mapping[str, Any]:
        """The options of one part."""
        options: Mapping[str, Any] = self.parts[kind]["options"]
        return options


@dataclass(frozen=True)
class Plan:
    """`parts` as in Asked; `arrays` by PART/NAME; `refused` is the reason when there is nothing to
    run, and then there are no arrays. See tables.plan for the other facts."""

    parts: Mapping[str, Mapping[str, Any]]
    level: str
    seed: int
    arrays: Arrays = field(default_factory=dict)
    measure: str | None = None
    sparse_from: str | int = START
    share: float | None = None
    reach: tuple[float, float] | None = None
    achieved: Mapping[str, Any] | None = None
    neurons: int = 0
    cold: int | None = None
    refused: str | None = None
    shared_with_coldest: float | None = None
    activity_removed: float | None = None
    contribution_removed: float | None = None
    #: What `models.views.fingerprint` gives of the model in memory that it was fitted on; None of a
    #: study's plan, whose files tell the model.
    fingerprint: str | None = field(default=None, compare=False)

    def of(self, kind: str) -> Arrays:
        """The arrays of one part, by their names in it."""
        return under(self.arrays, kind)

    @property
    def dropped(self) -> np.ndarray | None:
        """(layers, d_ff) bool: neurons that are removed for good; None where none is."""
        found = [
            self.arrays[f"{kind}/dropped"].astype(bool)
            for kind in PARTS
            if f"{kind}/dropped" in self.arrays
        ]
        if not found:
            return None
        dropped: np.ndarray = np.logical_or.reduce(found)
        return dropped

    def write(
        self, document: Path, arrays: Path, manifest: Manifest, record: Mapping[str, Any]
    ) -> None:
        """Write plan.json and plan.safetensors; `record` is the body of the model's model.json."""
        source = record["source"]
        if source and record["commit"]:
            source += f"@{record['commit']}"
        dropped = self.dropped
        body: dict[str, Any] = {
            **{kind: self.parts.get(kind) for kind in PARTS},
            "level": self.level,
            "measure": self.measure,
            "sparse_from": self.sparse_from,
            "seed": self.seed,
            "model": record["name"],
            "source": source,
            "dtype": record["dtype"],
            "weights_digest": record["weights_digest"],
            "share": self.share,
            "reach": list(self.reach) if self.reach else None,
            "achieved": self.achieved,
            "dropped": 0 if dropped is None else int(dropped.sum()),
            "dropped_by_layer": None if dropped is None else dropped.sum(axis=1).tolist(),
            "shared_with_coldest": self.shared_with_coldest,
            "activity_removed": self.activity_removed,
            "contribution_removed": self.contribution_removed,
            "neurons": self.neurons,
            "cold": self.cold,
            "arrays": sorted(self.arrays),
            "refused": self.refused,
        }
        PLAN_ARRAYS.write(arrays, self.arrays, manifest)
        PLAN.write(document, body, manifest)

    @staticmethod
    def read(document: Path, arrays: Path) -> "Plan":
        """The plan; UserError when the two files do not belong together."""
        body = PLAN.read(document)
        found = PLAN_ARRAYS.read(arrays)
        parts = {kind: body[kind] for kind in PARTS if body[kind]}
        reach = body["reach"]
        plan = Plan(
            parts, body["level"], body["seed"], found, body["measure"], body["sparse_from"],
            body["share"], (reach[0], reach[1]) if reach else None, body["achieved"],
            body["neurons"], body["cold"], body["refused"], body["shared_with_coldest"],
            body["activity_removed"], body["contribution_removed"],
            body["weights_digest"] if body["weights_digest"].startswith(IN_MEMORY) else None,
        )  # fmt: skip
        dropped = plan.dropped
        removed = 0 if dropped is None else int(dropped.sum())
        if sorted(found) != body["arrays"] or removed != body["dropped"]:
            raise UserError(
                f"{arrays}: not the arrays of {document.name}; remove both and run again"
            )
        return plan


def by_tables(parts: Mapping[str, Mapping[str, Any]], measure: str | None) -> bool:
    """True where fitting needs tables alone and no model: neurons are removed for good, by a share
    or a set of them, and nothing else is done. `parts` and `measure` as in Asked."""
    alone = list(parts) == ["sparsifier"] and measure is None
    return alone and bool(PARTS["sparsifier"].load(parts["sparsifier"]["name"]).static)


def reads(parts: Mapping[str, Mapping[str, Any]], kind: str) -> list[str]:
    """Corpora that options of the parts name and of which fitting reads a `kind`: "profile" or
    "sequences"."""
    return [
        part["options"][option]
        for name, part in parts.items()
        for option, what in PARTS[name].load(part["name"]).reads.items()
        if what == kind and part["options"][option] is not None
    ]


def under(arrays: Mapping[str, np.ndarray], kind: str) -> Arrays:
    """The arrays whose names start with KIND/, without that."""
    start = f"{kind}/"
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def named(arrays: Mapping[str, np.ndarray], kind: str) -> Arrays:
    """The arrays with KIND/ before their names."""
    return {f"{kind}/{name}": values for name, values in arrays.items()}
