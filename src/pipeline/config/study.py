"""A whole study's configuration.

`parse_study` turns a mapping into a `Study` or explains, key by key, what is wrong with it.
"""

import copy
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from pipeline.config.analysis import Analysis
from pipeline.config.base import Name, Section, Seed
from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.evaluation import Evaluation, is_task_file
from pipeline.config.methods import Method
from pipeline.config.models import DEVICE, PLACE, SIZE, Model, source_kind
from pipeline.config.profile import Profile
from pipeline.errors import UserError
from pipeline.registry import unknown_name

#: What to give where the whole form is wrong, in YAML's words.
_FORMS = {
    "tuple_type": "a list, in brackets",
    "dict_type": "a mapping of names to their keys",
    "model_type": "keys and values",
}
#: What to give where a text is not of its pattern.
_PATTERNS = {
    TypeAdapter(Name).json_schema()["pattern"]: "a name is letters, digits and . _ + -, without "
    "spaces, and starts with a letter or a digit",
    DEVICE: "give cpu, cuda, or cuda:1 for the second GPU",
    PLACE: "give cpu, or the number of a GPU in quotes",
    SIZE: "give a number and KB, MB, GB, TB, KiB, MiB, GiB or TiB, for instance 16GiB",
}
#: Characters of a refused value that are shown.
_SHOWN = 200
#: Jobs that Snakemake plans in minutes.
MOST_JOBS = 100_000
#: Folders in `results` beside the studies' own.
NO_STUDIES = ("faults", "logs", "reference", "shared", "timing")


class StudyConfig(Section):
    """A whole study."""

    study: Name = Field(description="results go to results/STUDY")
    seed: Seed = Field(
        0,
        description="of resamples and permutations; what a method draws goes by its `seeds`",
    )
    models: dict[Name, Model] = Field(min_length=1)
    calibration: dict[Name, Corpus] = Field(min_length=1)
    profile: Profile = Field(default_factory=Profile)
    classification: dict[Name, Classification] = Field(min_length=1)
    methods: dict[Name, Method] = Field(min_length=1)
    evaluation: Evaluation
    analysis: Analysis = Field(default_factory=Analysis)

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
        shares = sorted(level for level in levels if isinstance(level, float))
        chosen = "reference_level" in self.analysis.model_fields_set
        if shares and chosen and self.analysis.reference_level not in shares:
            raise UserError(
                f"analysis.reference_level: {self.analysis.reference_level} is no level of any "
                f"method; there are {', '.join(map(str, shares))}"
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
        if not {"cold", "hot"} & set(method.levels) or not method.classification:
            return
        scope = self.classification[method.classification].scope
        if scope != method.scope:
            raise UserError(
                f"methods.{name}.scope: {method.scope!r} with the level `cold` or `hot`, but "
                f"classification {method.classification} ranks by {scope!r}; give both one scope"
            )


def parse_study(values: Mapping[str, Any], base: Path | None = None) -> StudyConfig:
    """A validated study; raises UserError with the path, the value and what is allowed.

    Relative places of models, corpora and task files are made absolute from `base`, the
    configuration file's folder.
    """
    if base:
        values = _located(values, base)
        _check_hub_ids(values, base)
    try:
        return StudyConfig.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(problem) for problem in _causes(error.errors(include_url=False))]
        raise UserError("the configuration is refused:\n  " + "\n  ".join(lines)) from None


def _located(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The values with absolute places; whatever is no place or out of form stays as it is."""
    found = copy.deepcopy(dict(values))

    def absolute(text: Any, *starts: str) -> Any:
        relative = isinstance(text, str) and (not starts or text.startswith(starts))
        if not relative or text.startswith(("/", "~")):
            return text
        return os.path.normpath(base.absolute() / text)

    for model in _sections(found.get("models")):
        model["source"] = absolute(model.get("source"), "./", "../")
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
    """UserError where what would be a model's Hub id names a model folder in `base`."""
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


def _causes(problems: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Problems without those that follow from one further in: a list loses its refused members, and
    may then be called too short."""
    inner = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["loc"] not in inner]


def _explain(problem: Mapping[str, Any]) -> str:
    # A refused name of an entry stands in the path, followed by this.
    where = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    if problem["type"] == "extra_forbidden":
        known = _keys_at(problem["loc"][:-1])
        return f"{where}: unknown key. " + _nearest(str(problem["loc"][-1]), known)
    if problem["type"] == "missing":
        return f"{where}: this key is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] in _FORMS:
        message = f"give {_FORMS[problem['type']]}"
    if problem["type"] == "string_pattern_mismatch":
        message = _PATTERNS.get(problem["ctx"]["pattern"], message)
    if not where:
        return message
    return f"{where}: {_shown(problem['input'])} is refused: {message}"


def _shown(value: Any) -> str:
    """A value as it was given, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python writes out no whole number of more than 4,300 digits.
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return (f"Did you mean {near[0]!r}? " if near else "") + f"Allowed: {', '.join(known)}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """Keys allowed in the section at `location`; names inside mappings are passed over."""
    model: Any = StudyConfig
    parts = iter(location)
    for part in parts:
        model = model.model_fields[str(part)].annotation
        if get_origin(model) is dict:
            next(parts, None)
            model = get_args(model)[1]
    return sorted(model.model_fields)
