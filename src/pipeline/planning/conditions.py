"""A study's conditions, and the names that follow from its configuration.

Everything here follows from the configuration and the registries alone: which methods there are and
what they are made of, which models are profiled on which corpora, which local files are meant.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from pipeline.config.evaluation import is_task_file
from pipeline.config.level import Level
from pipeline.config.methods import Method
from pipeline.config.roles import COLDEST, HOTTEST, METHOD, First, Role
from pipeline.config.study import StudyConfig
from pipeline.methods.plan import by_tables, reads
from pipeline.methods.weights.patterns import CHANNELS
from pipeline.models.forward import START
from pipeline.registry import PARTS, POLICIES
from pipeline.tables.curves import NEURONS_REMOVED
from pipeline.tasks import task as tasks

#: Parts that are prepared once for all levels.
PREPARED = ("weights", "quantization", "sparsifier")
#: Keys of a corpus that say how it is compared with the tasks, and change none of its text.
OVERLAP_KEYS = ("overlap_ngram", "allow_overlap")


@dataclass(frozen=True, order=True)
class Condition:
    """One pruned model: model x method x level x seed; `level` as it stands in paths."""

    model: str
    method: str
    level: str
    seed: int

    @property
    def place(self) -> str:
        """The condition as it stands in paths."""
        return f"{self.model}/{self.method}/{self.level}/{self.seed}"


def undivided(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section as params hold it, without the number of shards, which changes no result."""
    return {**section, "shards": 1}


def part_class(kind: str, method: Method) -> Any:
    """The registered class of a method's part."""
    return PARTS[kind].load(getattr(method, kind).name)


class Conditions:
    """A configuration with its conditions and names."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config

    # Where a local file lies must not affect a result: rules and keys know it by a name, and the
    # entry helper finds its path when the job starts.

    @cache  # noqa: B019
    def section(self, name: str, key: str) -> dict[str, Any]:
        """The configuration of one entry as plain values, with a local path replaced by its
        name."""
        values: dict[str, Any] = getattr(self.config, name)[key].model_dump(mode="json")
        place = f"local:{name}.{key}"
        return values | ({"source": place} if place in self.places else {})

    @cache  # noqa: B019
    def original(self, model: str) -> dict[str, Any]:
        """The section of a model that has to be converted, with the file that it is made from; of
        a local file, its name."""
        values: dict[str, Any] = self.config.models[model].model_dump(mode="json")
        place = f"local:file.{model}"
        return values | ({"source": place} if place in self.places else {})

    @cache  # noqa: B019
    def text(self, corpus: str) -> dict[str, Any]:
        """The keys of a corpus' section that decide which text is read, and how it is cut."""
        section = undivided(self.section("calibration", corpus))
        return {key: value for key, value in section.items() if key not in OVERLAP_KEYS}

    @cache  # noqa: B019
    def overlap(self, corpus: str) -> dict[str, Any]:
        """The keys of a corpus' section that decide what counts as overlap with the tasks."""
        section = self.section("calibration", corpus)
        return {key: section[key] for key in ("source", *OVERLAP_KEYS)}

    def evaluation(self) -> dict[str, Any]:
        """The section `evaluation`, task files by their names."""
        values = self.config.evaluation.model_dump(mode="json")
        names = {place: name for name, place in self._task_places.items()}
        return values | {"tasks": [names.get(task, task) for task in values["tasks"]]}

    @cached_property
    def places(self) -> dict[str, str]:
        """Local paths by the names that params hold instead."""
        config = self.config
        models = {
            f"local:models.{name}": model.source
            for name, model in config.models.items()
            if model.kind == "path"
        }
        models |= {
            f"local:file.{name}": model.source
            for name, model in config.models.items()
            if model.kind == "gguf"
        }
        corpora = {
            f"local:calibration.{name}": corpus.source
            for name, corpus in config.calibration.items()
            if "/" in corpus.source and corpus.source.startswith(("path:", "task:"))
        }
        return {**models, **corpora, **self._task_places}

    @cached_property
    def _task_places(self) -> dict[str, str]:
        files = [task for task in self.config.evaluation.tasks if is_task_file(task)]
        return {f"local:task.{tasks.find(file).name}": file for file in files}

    @cached_property
    def conditions(self) -> list[Condition]:
        """All pruned conditions, in the order of the configuration."""
        return [
            Condition(model, name, level.text, seed)
            for model in self.config.models
            for name, method in self.config.methods.items()
            for level in method.levels
            for seed in method.seeds
        ]

    def fitting(self, method: str, level: str) -> dict[str, Any]:
        """What fitting is told about a method at one level, given by its text: the fields of
        plan.Asked."""
        section = self.config.methods[method]
        return {
            "parts": section.parts,
            "level": self._levels[method][level].value,
            "measure": section.measure,
            "sparse_from": section.sparse_from,
            "scope": section.scope,
        }

    @cache  # noqa: B019
    def preparing(self, method: str) -> dict[str, Any]:
        """What all levels of a method share: its parts up to the sparsifier."""
        parts = self.config.methods[method].parts
        return {"parts": {kind: part for kind, part in parts.items() if kind in PREPARED}}

    @cache  # noqa: B019
    def by_tables(self, method: str) -> bool:
        """True where a method is fitted on tables alone, since it only removes neurons."""
        section = self.config.methods[method]
        return by_tables(section.parts, section.measure)

    @cache  # noqa: B019
    def removes(self, method: str) -> bool:
        """True where a method removes whole neurons for good, by whatever part of it."""
        section = self.config.methods[method]
        pruned = section.weights is not None and section.weights.options["pattern"] == CHANNELS
        return pruned or (
            section.sparsifier is not None and bool(part_class("sparsifier", section).static)
        )

    @cache  # noqa: B019
    def matched_to(self, method: str) -> str | None:
        """The method whose plan at the same level this one is fitted on, or None."""
        section = self.config.methods[method]
        if section.sparsifier is None or not (option := part_class("sparsifier", section).follows):
            return None
        followed: str | None = section.sparsifier.options[option]
        return followed

    def matched_plan(self, model: str, method: str, level: str) -> Condition | None:
        """The condition whose plan `matched_to` means: with several seeds, that of the first."""
        followed = self.matched_to(method)
        if followed is None:
            return None
        return Condition(model, followed, level, self.config.methods[followed].seeds[0])

    @cache  # noqa: B019
    def prepares(self, method: str) -> bool:
        """True where the levels of a method share so much work that it gets a job of its own."""
        section = self.config.methods[method]
        if section.sparsifier is None or self.by_tables(method):
            return False
        sparsifier = part_class("sparsifier", section)
        return section.weights is not None or sparsifier.prepares(section.sparsifier.options)

    @cache  # noqa: B019
    def objectives(self, method: str, shared: bool) -> str:
        """The losses that training minimises for a method, in the job for what its levels share
        (`shared`) or in that of each level; empty where nothing is trained."""
        section, prepared = self.config.methods[method], self.prepares(method)
        kinds = [kind for kind in PARTS if (prepared and kind in PREPARED) is shared]
        parts = [part_class(kind, section) for kind in kinds if getattr(section, kind) is not None]
        return "; ".join(part.objective for part in parts if part.objective)

    def measure(self, method: str) -> str | None:
        """What methods like this one are compared at: `neurons_removed`, an achieved measure, or
        None where its levels are of its own."""
        section = self.config.methods[method]
        if section.sparse_from != START:
            # What is achieved then depends on how long a task's questions are.
            return None
        if self.by_tables(method):
            return NEURONS_REMOVED
        if section.sparsifier is None and section.weights is not None:
            matrices = section.weights.options["pattern"] != CHANNELS
            return "model_weight_sparsity" if matrices else None
        return section.measure

    @cached_property
    def methods(self) -> list[dict[str, Any]]:
        """What each method's name stands for, for the report; `role` and `order` as `config.roles`
        says."""
        return [
            {
                "name": name,
                "label": ", ".join(part_class(kind, section).label for kind in section.parts),
                "role": self._role(name),
                "order": self.order(name),
                "parts": section.parts,
                "corpus": section.corpus,
                "measure": self.measure(name),
                "sparse_from": str(section.sparse_from),
                "scope": section.scope if self.arm(name) else None,
            }
            for name, section in self.config.methods.items()
        ]

    def _role(self, method: str) -> Role:
        """The role of a method: for one that only removes neurons, its sparsifier's; any other has
        the role `method`, whatever the roles of its parts."""
        arm = self.arm(method)
        role: Role = PARTS["sparsifier"].load(arm).role if arm else METHOD
        return role

    @cache  # noqa: B019
    def read_by(self, method: str, kind: str) -> list[str]:
        """Corpora named by a method's options, of which it reads the `kind`: profile or
        sequences."""
        return reads(self.config.methods[method].parts, kind)

    @cached_property
    def _levels(self) -> dict[str, dict[str, Level]]:
        """The levels of every method by their texts."""
        return {
            name: {level.text: level for level in method.levels}
            for name, method in self.config.methods.items()
        }

    @cached_property
    def _ranked_on(self) -> list[str]:
        """Corpora that methods rank neurons on."""
        return list(dict.fromkeys(m.corpus for m in self.config.methods.values()))

    @cached_property
    def profiled(self) -> list[tuple[str, str]]:
        """(model, corpus) pairs that a method or a policy needs the profile of."""
        return [(model, corpus) for model in self.config.models for corpus in self.corpora]

    @cached_property
    def corpora(self) -> list[str]:
        """Corpora that every model is profiled on."""
        named = [c for name in self.config.methods for c in self.read_by(name, "profile")]
        told = [*self._ranked_on, *self._others("profile"), *named, self.activity_corpus]
        return list(dict.fromkeys(told))

    @property
    def activity_corpus(self) -> str:
        """The corpus on which the activity of removed neurons is measured, one for all
        conditions."""
        return self.config.analysis.activity_corpus or next(iter(self.config.calibration))

    @cached_property
    def extracted(self) -> list[tuple[str, str]]:
        """(model, corpus) pairs whose token sequences are needed."""
        named = [c for name in self.config.methods for c in self.read_by(name, "sequences")]
        corpora = dict.fromkeys([*self._others("sequences"), *named])
        more = [(model, corpus) for model in self.config.models for corpus in corpora]
        return list(dict.fromkeys([*self.profiled, *more]))

    def _others(self, needed: str) -> list[str]:
        """Corpora that policies look at besides the one classified on, where `needed` is what they
        need of it."""
        sections = self.config.classification.values()
        return [s.other for s in sections if s.other and self.needs(s.policy) == needed]

    @staticmethod
    def needs(policy: str) -> str:
        """What a policy needs of its other corpus: profile, sequences, or nothing."""
        needed: str = POLICIES.load(policy).needs
        return needed

    @cached_property
    def classified(self) -> list[tuple[str, str, str]]:
        """(model, corpus, classification): every classification on every corpus of a method."""
        return [
            (model, corpus, name)
            for model in self.config.models
            for corpus in self._ranked_on
            for name in self.config.classification
        ]

    @cached_property
    def parted(self) -> list[tuple[str, str, str]]:
        """(model, method, part) of the methods that remove one part of the model at a time."""
        parts = {
            name: part_class("sparsifier", method).part
            for name, method in self.config.methods.items()
            if method.sparsifier is not None and self.by_tables(name)
        }
        return [(m, name, part) for m in self.config.models for name, part in parts.items() if part]

    @property
    def main_corpus(self) -> str:
        """The corpus that facts about a model refer to: that of the cold or hot arm."""
        return self._main_method.corpus

    @property
    def main_classification(self) -> str:
        """The hot/cold policy that facts about a model refer to: that of the cold or hot arm."""
        return self._main_method.classification or next(iter(self.config.classification))

    @property
    def _main_method(self) -> Method:
        methods = self.config.methods
        arms = [m for name, m in methods.items() if self.order(name) in (COLDEST, HOTTEST)]
        classified = [m for m in methods.values() if m.classification]
        return (arms or classified or list(methods.values()))[0]

    def arm(self, method: str) -> str:
        """Name of the sparsifier of a method that only removes neurons; else empty."""
        section = self.config.methods[method]
        if section.sparsifier is None or not self.by_tables(method):
            return ""
        name: str = section.sparsifier.name
        return name

    def order(self, method: str) -> First | None:
        """Which neurons go first under a method that only removes neurons; None for other methods,
        and for one that goes by neither coldness nor chance."""
        arm = self.arm(method)
        return PARTS["sparsifier"].load(arm).order if arm else None
