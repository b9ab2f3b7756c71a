"""The results that the sections of the page are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.profiles import Profiles
from pipeline.store.artifacts import Manifest

Row = Mapping[str, Any]
Rows = Sequence[Row]


@dataclass(frozen=True)
class Results:
    """The results of a study as its report reads them.

    `tables` holds the rows of every table of the analysis by its name, `finding` the body of
    tables.finding.FINDING and `sentences` its words. `corpora` holds the bodies of CORPUS, each
    under a name, `models` those of MODEL, and `classifications` those of CLASSIFICATION with model,
    corpus and name. `training` holds the rows of tables.plan.TRAINING, each with model, method,
    level, seed and objective, level and seed None where all levels share what was trained.
    `methods` is Study.methods, `by_steps` the methods whose answers are shown by number of steps,
    and `libraries` the versions of the libraries that computed the results.
    """

    study: str
    tables: Mapping[str, Rows]
    finding: Mapping[str, Any]
    sentences: Sequence[str]
    corpora: Mapping[str, Row]
    models: Rows
    classifications: Rows
    profiles: Profiles
    training: Rows
    methods: Rows
    by_steps: Sequence[str]
    libraries: Mapping[str, str]
    manifest: Manifest

    @property
    def model_names(self) -> list[str]:
        """Models in the order of the finding."""
        return [row["model"] for row in self.finding["models"]]

    @property
    def at_chance(self) -> list[str]:
        """Models that are not clear of chance on the reasoning tasks before pruning."""
        return [r["model"] for r in self.finding["dense_reasoning"] if r["low"] <= r["chance"]]
