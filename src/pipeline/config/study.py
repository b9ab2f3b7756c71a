"""A whole study's configuration.

`parse_study` turns a mapping into a `StudyConfig` or explains, key by key, what is wrong with it.
"""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from pipeline.config.analysis import Analysis
from pipeline.config.base import Name
from pipeline.config.evaluation import is_task_file
from pipeline.config.level import COLD, HOT, SHARE
from pipeline.config.methods import Method
from pipeline.config.models import source_kind
from pipeline.config.refusals import causes, explain
from pipeline.config.sections import StudySections
from pipeline.config.written import WrittenStudy, stands_elsewhere, write_out
from pipeline.errors import UserError, unknown_name

#: Most jobs of a study: as many as Snakemake plans in minutes.
MOST_JOBS = 100_000
#: Folders in `results` that are not studies.
NO_STUDIES = ("faults", "logs", "reference", "shared", "timing")


class StudyConfig(StudySections):
    """A whole study, every method with all of its keys."""

    methods: dict[Name, Method] = Field(min_length=1)

    @model_validator(mode="after")
    def _references(self) -> "StudyConfig":
        if self.study in NO_STUDIES:
            raise UserError(
                f"study: results/{self.study} is a folder of the pipeline's own "
                f"({', '.join(NO_STUDIES)}); choose another name"
            )
        if "dense" in self.methods:
            raise UserError("methods.dense: the name stands for the unpruned model; choose another")
        for name, method in self.methods.items():
            if method.corpus not in self.calibration:
                raise UserError(
                    f"methods.{name}.corpus: "
                    + unknown_name("corpus", method.corpus, self.calibration)
                )
            if method.classification and method.classification not in self.classification:
                raise UserError(
                    f"methods.{name}.classification: "
                    + unknown_name("classification", method.classification, self.classification)
                )
            self._boundary_has_one_scope(name, method)
        self._jobs_can_be_planned()
        levels = {level for method in self.methods.values() for level in method.levels}
        shares = sorted(level.share for level in levels if level.kind == SHARE)
        level, usual = self.analysis.reference_level, Analysis().reference_level
        # The default counts as not chosen, even if it is written out.
        if shares and level not in (*shares, usual):
            raise UserError(
                f"analysis.reference_level: {level} is not a level of any method; there are "
                f"{', '.join(map(str, shares))}"
            )
        return self

    def _jobs_can_be_planned(self) -> None:
        """Bounds of single keys multiply: a shard of each condition of each model is a job."""
        conditions = sum(len(method.levels) * len(method.seeds) for method in self.methods.values())
        extracted = sum(corpus.shards + self.profile.shards for corpus in self.calibration.values())
        jobs = len(self.models) * (extracted + conditions * self.evaluation.shards)
        if jobs > MOST_JOBS:
            raise UserError(
                f"{len(self.models)} models, {conditions:,} levels with their seeds and the shards "
                f"come to {jobs:,} jobs, and at most {MOST_JOBS:,} can be planned; give fewer "
                "shards, levels or seeds, or make several studies"
            )

    def _boundary_has_one_scope(self, name: str, method: Method) -> None:
        """Levels `cold` and `hot` mean the classification's own sets, ranked as it ranks them."""
        if not {COLD, HOT} & set(method.levels) or not method.classification:
            return
        scope = self.classification[method.classification].scope
        if scope != method.scope:
            raise UserError(
                f"methods.{name}.scope: {method.scope!r} with the level `cold` or `hot`, but "
                f"classification {method.classification} ranks by {scope!r}; give both one scope"
            )


def parse_study(values: Mapping[str, Any], base: Path | None = None) -> StudyConfig:
    """The validated study that a file's values describe, with defaults filled in and grids written
    out; raises UserError with the key's path, the value and what is allowed.

    Relative paths of models, corpora and task files are made absolute from `base`, the
    configuration file's folder.
    """
    if base:
        values = _located(values, base)
        _check_hub_ids(values, base)
    if problems := _problems(values):
        raise _refusal([explain(problem, WrittenStudy) for problem in problems])
    entries: dict[str, str] = {}
    try:
        complete, entries = write_out(values)
        return StudyConfig.model_validate(complete)
    except ValidationError as error:
        problems = causes(error.errors(include_url=False))
        lines = [explain(problem, StudyConfig) for problem in problems]
        raise _refusal([line + _of_grid(line, entries) for line in lines]) from None
    except UserError as error:
        raise _refusal([str(error)]) from None


def _problems(values: Mapping[str, Any]) -> list[Any]:
    """What is wrong with a study as it is written, one line per problem, with its key."""
    try:
        WrittenStudy.model_validate(dict(values))
    except ValidationError as error:
        return [
            problem
            for problem in causes(error.errors(include_url=False))
            if problem["type"] != "missing" or not stands_elsewhere(values, problem["loc"])
        ]
    return []


def _refusal(lines: Sequence[str]) -> UserError:
    return UserError("the configuration is refused:\n  " + "\n  ".join(lines))


def _of_grid(line: str, entries: Mapping[str, str]) -> str:
    """A note that names the grid's entry, if the method at the start of the line comes from a
    grid."""
    # Names may hold dots, so take the longest that fits.
    names = (name for name in entries if line.startswith(f"methods.{name}"))
    name = max(names, key=len, default="")
    entry = entries.get(name, name)
    return f" ({name} is of the grid of methods.{entry})" if entry != name else ""


def _located(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The values with absolute paths; whatever is not a path, or is malformed, stays as it is."""
    found = copy.deepcopy(dict(values))

    def absolute(text: Any, *starts: str) -> Any:
        relative = isinstance(text, str) and (not starts or text.startswith(starts))
        if not relative or text.startswith(("/", "~")):
            return text
        return os.path.normpath(base.absolute() / text)

    for model in _sections(found.get("models")):
        named = isinstance(model["source"], str) and source_kind(model["source"]) == "gguf"
        model["source"] = absolute(model["source"], *(() if named else ("./", "../")))
    for corpus in _sections(found.get("calibration")):
        kind, colon, where = str(corpus.get("source")).partition(":")
        if colon and where and (kind == "path" or kind == "task" and is_task_file(where)):
            corpus["source"] = f"{kind}:{absolute(where)}"
    evaluation = found.get("evaluation")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("tasks"), list):
        tasks = evaluation["tasks"]
        evaluation["tasks"] = [absolute(t) if is_task_file(t) else t for t in tasks]
    return found


def _check_hub_ids(values: Mapping[str, Any], base: Path) -> None:
    """UserError where a source that reads as a Hub id is also the name of a model folder in
    `base`."""
    models = values.get("models")
    for name, model in models.items() if isinstance(models, dict) else ():
        source = model.get("source") if isinstance(model, dict) else None
        if not isinstance(source, str) or source_kind(source) != "hub":
            continue
        if (base / source / "config.json").is_file():
            raise UserError(
                f"models.{name}.source: {source!r} is a Hub id, and a model folder of that name "
                f"stands beside the configuration; write ./{source} for the folder, or move it away"
            )


def _sections(mapping: Any) -> list[dict[str, Any]]:
    entries = mapping.values() if isinstance(mapping, dict) else ()
    return [entry for entry in entries if isinstance(entry, dict) and "source" in entry]
