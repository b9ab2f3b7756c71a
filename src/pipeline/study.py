"""A study, planned: its conditions, the keys of what studies share, and what decides a rerun.

Knows nothing of Snakemake; the rules ask it for names, configuration slices and source digests.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pipeline import digest, plain_yaml, tasks
from pipeline.config.classification import Classification
from pipeline.config.evaluation import is_task_file
from pipeline.config.methods import CHANNELS, WHOLE, Method, level_text
from pipeline.config.study import StudyConfig
from pipeline.errors import UserError, at
from pipeline.methods.plan import Refused
from pipeline.methods.weights.patterns import pattern_share
from pipeline.models import folder as model_folder
from pipeline.models import source as model_source
from pipeline.models.forward import START
from pipeline.registry import (
    ARCHITECTURES,
    CORPORA,
    FAMILIES,
    PARTS,
    POLICIES,
    Registry,
    unknown_name,
)
from pipeline.tables.curves import NEURONS_REMOVED

PROJECT = digest.SOURCE_ROOT.parent
#: Parts that are prepared once for all levels.
PREPARED = ("weights", "quantization", "sparsifier")
_KEY_DIGITS = 12

Source = dict[str, Any]

#: Rule -> (rules file, libraries whose version can change its result).
RULES = {
    "resolve_model": ("model", ("torch", "transformers")),
    "extract_shard": ("calibration", ("transformers", "tokenizers", "datasets", "pyarrow")),
    "extract_calibration": ("calibration", ("transformers", "tokenizers", "datasets", "pyarrow")),
    "profile_sample": ("profile", ("torch", "transformers", "numpy", "polars", "pyarrow")),
    "profile_shard": ("profile", ("torch", "transformers", "polars", "pyarrow")),
    "collect_hessian": ("profile", ("torch", "transformers", "safetensors")),
    "collect_residuals": ("profile", ("torch", "transformers", "numpy", "polars", "safetensors")),
    "merge_profile": ("profile", ("numpy", "polars", "pyarrow")),
    "classify": ("classify", ("numpy", "polars", "pyarrow", "torch", "transformers")),
    "power_law": ("classify", ("numpy", "polars", "pyarrow")),
    "fit": ("fit", ("numpy", "polars", "safetensors")),
    "prepare": ("fit", ("torch", "transformers", "numpy", "polars", "safetensors")),
    "fit_with_model": ("fit", ("torch", "transformers", "numpy", "polars", "safetensors")),
    "evaluate": ("evaluate", ("torch", "transformers", "tokenizers", "lm_eval", "pyarrow")),
    "evaluate_shard": ("evaluate", ("torch", "transformers", "tokenizers", "lm_eval", "pyarrow")),
    "evaluate_dense": ("evaluate", ("torch", "transformers", "tokenizers", "lm_eval", "pyarrow")),
    "evaluate_dense_shard": (
        "evaluate",
        ("torch", "transformers", "tokenizers", "lm_eval", "pyarrow"),
    ),
    "analyse": ("analyse", ("numpy", "polars", "pyarrow", "scipy")),
    "build_report": ("report", ("altair", "vl-convert-python", "jinja2", "polars")),
    "generate_tasks": ("reference", ()),
    "train_reference": ("reference", ("torch", "transformers", "numpy")),
    "ship_reference": ("reference", ("torch", "transformers", "lm_eval", "polars")),
}

#: The report's file that holds the manifest and the digests of the others, which have no manifest.
REPORT_FILES = "files.json"
#: Rule of a study -> the files that one of its jobs makes.
FILES = {
    "resolve_model": ("model.json",),
    "extract_shard": ("documents.parquet",),
    "extract_calibration": ("sequences.parquet", "corpus.json"),
    "profile_sample": (
        "thresholds.parquet",
        "norms.parquet",
        "tokens.parquet",
        "cett_curve.parquet",
        "always_active.parquet",
        "prompt_overlaps.parquet",
    ),
    "profile_shard": ("neurons.parquet", "channels.parquet", "histograms.parquet"),
    "merge_profile": (
        "neurons.parquet",
        "channels.parquet",
        "histograms.parquet",
        "layers.parquet",
    ),
    "collect_hessian": ("hessian.safetensors",),
    "collect_residuals": ("residuals.safetensors",),
    "classify": ("classes.parquet", "classification.json"),
    "power_law": ("power_law.parquet", "ranked.parquet", "hot_overlaps.parquet"),
    "prepare": ("prepared.safetensors", "training.parquet"),
    "fit": ("plan.json", "plan.safetensors"),
    "fit_with_model": ("plan.json", "plan.safetensors", "training.parquet"),
    "evaluate_shard": ("samples.parquet", "counts.parquet"),
    "evaluate": ("samples.parquet", "sparsity.parquet"),
    "evaluate_dense_shard": ("samples.parquet", "counts.parquet"),
    "evaluate_dense": ("samples.parquet", "sparsity.parquet"),
    "analyse": (
        "finding.json",
        "curves.parquet",
        "perplexity.parquet",
        "correlations.parquet",
        "units.parquet",
        "steps.parquet",
        "removals.parquet",
        "removed_by_layer.parquet",
        "refused.parquet",
    ),
    "build_report": (
        "index.html",
        "accuracy-lost.svg",
        "accuracy-lost.vl.json",
        "accuracy-lost-by-task.vl.json",
        "accuracy-lost-by-part.vl.json",
        "right-by-steps.vl.json",
        "accuracy-lost-by-measure.vl.json",
        "natural-sparsity.vl.json",
        "activations-by-rank.vl.json",
        "activation-frequency.vl.json",
        "hot-sets-shared.vl.json",
        REPORT_FILES,
    ),
}
_EVALUATIONS = ("evaluate", "evaluate_shard", "evaluate_dense", "evaluate_dense_shard")
#: Rules that use a model's FFN view, and rules that read the tasks' items.
_PROFILING = ("profile_sample", "profile_shard", "collect_hessian", "collect_residuals")
_FITTING = ("prepare", "fit_with_model")
_OF_MODELS = ("resolve_model", *_PROFILING, *_FITTING, *_EVALUATIONS)
_OF_TASKS = ("extract_shard", "extract_calibration", *_EVALUATIONS, "analyse")


@dataclass(frozen=True, order=True)
class Condition:
    """One pruned model: model x method x level x seed; `level` as it stands in paths."""

    model: str
    method: str
    level: str
    seed: int


@dataclass(frozen=True)
class Folder:
    """Where the artifacts of one job stand: its rule, what they are as far as that is known before
    any job, and what the job is about. `shards` counts a shard's siblings; a job that `merges` only
    puts shards together."""

    rule: str
    identity: str
    model: str = ""
    corpus: str = ""
    method: str = ""
    classification: str = ""
    shards: int = 1
    merges: bool = False


class Study:
    """A validated configuration with everything the rules derive from it."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        for name, method in config.methods.items():
            with at(f"methods.{name}"):
                _check_method(method, config)
        for name in config.methods:
            with at(f"methods.{name}.sparsifier"):
                self._check_match(name)
        with at("analysis.activity_corpus"):
            if self.activity_corpus not in config.calibration:
                raise UserError(unknown_name("corpus", self.activity_corpus, config.calibration))
        for name, section in config.classification.items():
            with at(f"classification.{name}"):
                _check_classification(section, config)
        for name, model in config.models.items():
            with at(f"models.{name}.source"):
                if model.kind != "hub":
                    model_folder.check(name, model, model_source.local_folder(model))
                self.model_key(name)
        for name in config.calibration:
            with at(f"calibration.{name}.source"):
                self._corpus_identity(name)
            with at(f"calibration.{name}"):
                self._check_corpus(name)
        with at("evaluation.tasks"):
            chosen = [tasks.find(name) for name in config.evaluation.tasks]
            for task in chosen:
                task.check()
        named = [task.name for task in chosen]
        if "reasoning" in named or len(set(named)) < len(named):
            raise UserError(
                f"evaluation.tasks: the tasks are named {named}; names must differ, and "
                "`reasoning` stands for the mean of the reasoning tasks"
            )

    # Where a local file lies is no fact of a result: rules and keys know it by a name, and the
    # entry helper finds the place when the job starts.

    @cache  # noqa: B019
    def section(self, name: str, key: str) -> dict[str, Any]:
        """The configuration of one entry as plain values, a local place by its name."""
        values: dict[str, Any] = getattr(self.config, name)[key].model_dump(mode="json")
        own = f"local:{name}.{key}"
        return values | ({"source": own} if own in self.places else {})

    def evaluation(self) -> dict[str, Any]:
        """The section `evaluation`, task files by their names."""
        values = self.config.evaluation.model_dump(mode="json")
        names = {place: name for name, place in self._task_places.items()}
        return values | {"tasks": [names.get(task, task) for task in values["tasks"]]}

    @cached_property
    def places(self) -> dict[str, str]:
        """Local places by the names that params hold instead."""
        config = self.config
        models = {
            f"local:models.{name}": model.source
            for name, model in config.models.items()
            if model.kind == "path"
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
            Condition(model, name, level_text(level), seed)
            for model in self.config.models
            for name, method in self.config.methods.items()
            for level in method.levels
            for seed in method.seeds
        ]

    def level(self, method: str, text: str) -> float | int | str:
        """The configured level behind its text."""
        return self._levels[method][text]

    def fitting(self, method: str, level: str) -> dict[str, Any]:
        """What fitting is told of a method at one level, given as its text: keys of plan.Asked."""
        section = self.config.methods[method]
        return {
            "parts": section.parts,
            "level": self.level(method, level),
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
        """True where a method is fitted on tables alone: it removes neurons and does no more."""
        section = self.config.methods[method]
        alone = list(section.parts) == ["sparsifier"] and section.measure is None
        return alone and bool(_load("sparsifier", section).static)

    @cache  # noqa: B019
    def removes(self, method: str) -> bool:
        """True where a method removes whole neurons for good, by whatever part of it."""
        section = self.config.methods[method]
        pruned = section.weights is not None and section.weights.options["pattern"] == CHANNELS
        return pruned or (
            section.sparsifier is not None and bool(_load("sparsifier", section).static)
        )

    @cache  # noqa: B019
    def matched_to(self, method: str) -> str | None:
        """The method whose plan at the same level this one is fitted on, or None."""
        section = self.config.methods[method]
        if section.sparsifier is None or not (option := _load("sparsifier", section).follows):
            return None
        named: str | None = section.sparsifier.options[option]
        return named

    def matched_plan(self, model: str, method: str, level: str) -> Condition | None:
        """The condition whose plan that is: of several seeds the first."""
        named = self.matched_to(method)
        if named is None:
            return None
        return Condition(model, named, level, self.config.methods[named].seeds[0])

    def _check_match(self, method: str) -> None:
        """Refuse to match what takes no number of neurons of each layer at the same levels."""
        if (named := self.matched_to(method)) is None:
            return
        methods = self.config.methods
        if named not in methods:
            raise UserError("match: " + unknown_name("method", named, methods))
        other, own = methods[named], methods[method]
        if not self.by_tables(named) or _load("sparsifier", other).part:
            raise UserError(f"match: {named} does not remove neurons in an order of their own")
        if self.matched_to(named):
            raise UserError(f"match: {named} is matched to another method itself; name that one")
        if not self.by_tables(method):
            raise UserError("match: it needs a method that removes neurons and does no more")
        if other.scope != own.scope:
            raise UserError(f"match: {named} has scope {other.scope}, this method {own.scope}")
        if other.sparse_from != own.sparse_from:
            raise UserError(
                f"match: {named} removes from {other.sparse_from} on, this method from "
                f"{own.sparse_from} on"
            )
        known = set(map(level_text, other.levels))
        if missing := [text for text in map(level_text, own.levels) if text not in known]:
            raise UserError(f"match: {named} has no level {', '.join(missing)}")

    @cache  # noqa: B019
    def prepares(self, method: str) -> bool:
        """True where the levels of a method share work worth a job of its own."""
        section = self.config.methods[method]
        if section.sparsifier is None or self.by_tables(method):
            return False
        sparsifier = _load("sparsifier", section)
        return section.weights is not None or sparsifier.prepares(section.sparsifier.options)

    def measure(self, method: str) -> str | None:
        """What methods like this one are compared at: `neurons_removed`, an achieved measure, or
        None where its levels are of its own."""
        section = self.config.methods[method]
        if section.sparse_from != START:
            # What is achieved then depends on how much of a task is its questions.
            return None
        if self.by_tables(method):
            return NEURONS_REMOVED
        if section.sparsifier is None and section.weights is not None:
            matrices = section.weights.options["pattern"] != CHANNELS
            return "model_weight_sparsity" if matrices else None
        return section.measure

    @cached_property
    def methods(self) -> list[dict[str, Any]]:
        """What each method's name stands for, for the report."""
        return [
            {
                "name": name,
                "parts": section.parts,
                "corpus": section.corpus,
                "measure": self.measure(name),
                "sparse_from": str(section.sparse_from),
                "scope": section.scope if self.arm(name) else None,
            }
            for name, section in self.config.methods.items()
        ]

    @cache  # noqa: B019
    def read_by(self, method: str, kind: str) -> list[str]:
        """Corpora that a method's options name and of which it reads a `kind`: profile or
        sequences."""
        section = self.config.methods[method]
        found = []
        for part, chosen in section.parts.items():
            for option, what in PARTS[part].load(chosen["name"]).reads.items():
                if what == kind and chosen["options"][option] is not None:
                    found.append(chosen["options"][option])
        return found

    @cached_property
    def _levels(self) -> dict[str, dict[str, float | int | str]]:
        return {
            name: {level_text(level): level for level in method.levels}
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
        """The corpus that the activity of removed neurons is told on: one for all conditions."""
        return self.config.analysis.activity_corpus or next(iter(self.config.calibration))

    @cached_property
    def extracted(self) -> list[tuple[str, str]]:
        """(model, corpus) pairs whose token sequences are needed."""
        named = [c for name in self.config.methods for c in self.read_by(name, "sequences")]
        corpora = dict.fromkeys([*self._others("sequences"), *named])
        more = [(model, corpus) for model in self.config.models for corpus in corpora]
        return list(dict.fromkeys([*self.profiled, *more]))

    def _others(self, needed: str) -> list[str]:
        """Corpora that policies look at besides the one classified on, for their `needed`."""
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
            name: _load("sparsifier", method).part
            for name, method in self.config.methods.items()
            if method.sparsifier is not None and self.by_tables(name)
        }
        return [(m, name, part) for m in self.config.models for name, part in parts.items() if part]

    @property
    def main_corpus(self) -> str:
        """The corpus that facts about a model are told of: that of the cold or hot arm."""
        return self._main_method.corpus

    @property
    def main_classification(self) -> str:
        """The hot/cold policy that facts about a model are told of: that of the cold or hot arm."""
        return self._main_method.classification or next(iter(self.config.classification))

    @property
    def _main_method(self) -> Method:
        methods = self.config.methods
        arms = [m for name, m in methods.items() if self.arm(name) in ("drop_cold", "keep_cold")]
        classified = [m for m in methods.values() if m.classification]
        return (arms or classified or list(methods.values()))[0]

    def arm(self, method: str) -> str:
        """Name of the sparsifier of a method that removes neurons and does no more; else empty."""
        section = self.config.methods[method]
        if section.sparsifier is None or not self.by_tables(method):
            return ""
        name: str = section.sparsifier.name
        return name

    @property
    def by_steps(self) -> list[str]:
        """Methods whose answers are shown by number of steps, at the reference level: the first
        that removes the coldest of every layer, and its matched control."""
        level = level_text(self.config.analysis.reference_level)
        there = [
            order
            for order in self.orders
            if order["scope"] == "layer"
            and order["among"] == "all"
            and level in map(level_text, self.config.methods[order["method"]].levels)
        ]
        coldest = next((o for o in there if o["sparsifier"] == "drop_cold"), None)
        if coldest is None:
            return []
        drawn = [
            order["method"]
            for order in there
            if order["sparsifier"] == "drop_random"
            and order["match"] in (None, coldest["method"])
            and order["sparse_from"] == coldest["sparse_from"]
        ]
        return [coldest["method"], *drawn[:1]]

    def notes(self) -> list[str]:
        """What can be computed, and was perhaps not meant."""
        asked = [(o["sparsifier"], o["scope"]) for o in self.orders]
        if ("drop_cold", "layer") not in asked or len(self.by_steps) == 2:
            return []
        level = level_text(self.config.analysis.reference_level)
        return [
            f"analysis.reference_level: no drop_cold of scope layer has level {level} beside a "
            "drop_random that takes as many neurons, so the finding will not say whether coldness "
            "matters; give both that level, or name one that both have"
        ]

    @cached_property
    def orders(self) -> list[dict[str, Any]]:
        """What the methods that remove neurons, and do no more, go by: keys of analysis.Order."""
        found = []
        for name, section in self.config.methods.items():
            if sparsifier := self.arm(name):
                among = section.sparsifier.options.get("among", "all")
                found.append(
                    {
                        "method": name, "sparsifier": sparsifier, "scope": section.scope,
                        "corpus": section.corpus, "match": self.matched_to(name), "among": among,
                        "classification": section.classification,
                        "sparse_from": section.sparse_from,
                    }
                )  # fmt: skip
        return found

    # Keys: a name people know, and a digest of all that the artifact depends on besides source.
    # Into how many jobs the work is divided changes no byte, and is a part of a key all the same:
    # studies that divide it otherwise would make each other's artifacts anew.

    @cache  # noqa: B019 - one study lives as long as the process
    def model_key(self, model: str) -> str:
        """Folder of a resolved model."""
        return _key(model, [model, model_source.identity(self.config.models[model])])

    @cache  # noqa: B019
    def corpus_key(self, model: str, corpus: str) -> str:
        """Folder of a corpus in a model's tokens, checked against the study's tasks."""
        shards = self.config.calibration[corpus].shards
        return _key(f"{model}.{corpus}", [self._of_corpus(model, corpus), shards])

    @cache  # noqa: B019
    def profile_key(self, model: str, corpus: str) -> str:
        """Folder of a profile."""
        shards = [self.config.calibration[corpus].shards, self.config.profile.shards]
        return _key(f"{model}.{corpus}", [self._of_profile(model, corpus), shards])

    @cache  # noqa: B019
    def dense_key(self, model: str) -> str:
        """Folder of a dense evaluation: once per model and task set."""
        return _key(model, [self._of_evaluation(model), self.config.evaluation.shards])

    # Identities: what an artifact is, as far as that is known before any job, however the work is
    # divided. Each artifact carries its own, so that one put in another's place is told apart.

    @cached_property
    def folders(self) -> dict[str, Folder]:
        """Folder of results -> what stands in it, for all of the study's jobs in their order."""
        own = f"results/{self.config.study}"
        found = {**self._shared_folders(), **self._own_folders(own)}
        read = [f.identity for f in found.values() if f.rule in ("evaluate", "evaluate_dense")]
        read += [found[folder].identity for folder in self._analysed(own)]
        parts = [self.config.study, self.config.seed, self.config.analysis.model_dump(), read]
        found[f"{own}/analyse"] = analysis = Folder("analyse", digest.of_value(parts))
        shown = [f.identity for f in found.values() if f.rule in ("classify", "power_law")]
        shown += [f.identity for f in found.values() if f.rule == "extract_calibration"]
        found[f"{own}/report"] = Folder("build_report", digest.of_value([analysis.identity, shown]))
        return found

    def _analysed(self, own: str) -> list[str]:
        """Folders of the profiles and classifications that the analysis reads."""
        methods = self.config.methods
        main = self.main_corpus, self.main_classification
        read = [(model, *main) for model in self.config.models]
        for model, name, _ in self.parted:
            read.append((model, methods[name].corpus, str(methods[name].classification)))
        told = [(model, self.activity_corpus) for model in self.config.models]
        profiles = [self.profile_key(*pair) for pair in [*(row[:2] for row in read), *told]]
        return [f"results/shared/merge_profile/{key}" for key in profiles] + [
            f"{own}/classify/{model}/{corpus}/{name}" for model, corpus, name in read
        ]

    def _shared_folders(self) -> dict[str, Folder]:
        config, shared = self.config, "results/shared"
        found = {}
        for model in config.models:
            key, dense = self.model_key(model), self.dense_key(model)
            found[f"{shared}/resolve_model/{key}"] = Folder("resolve_model", key, model)
            folder = Folder("evaluate_dense", self._of_evaluation(model), model)
            found |= _divided(f"{shared}/evaluate_dense", dense, folder, config.evaluation.shards)
            merges = config.evaluation.shards > 1
            found[f"{shared}/evaluate_dense/{dense}"] = replace(folder, merges=merges)
        for pair in self.extracted:
            folder = Folder("extract", self._of_corpus(*pair), *pair)
            shards = config.calibration[pair[1]].shards
            found |= _divided(f"{shared}/extract", self.corpus_key(*pair), folder, shards)
            folder = replace(folder, rule="extract_calibration", merges=shards > 1)
            found[f"{shared}/extract_calibration/{self.corpus_key(*pair)}"] = folder
        for pair in self.profiled:
            folder = Folder("profile", self._of_profile(*pair), *pair)
            key, shards = self.profile_key(*pair), config.profile.shards
            sample = digest.of_value([folder.identity, "sample"])
            found[f"{shared}/profile_sample/{key}"] = replace(
                folder, rule="profile_sample", identity=sample
            )
            found |= _divided(f"{shared}/profile", key, folder, shards, least=1)
            folder = replace(folder, rule="merge_profile")
            found[f"{shared}/merge_profile/{key}"] = folder
            for kind in config.profile.collect:
                tokens = config.profile.residual_tokens
                place = f"{key}/{tokens}" if kind == "residuals" else key
                found[f"{shared}/collect_{kind}/{place}"] = replace(
                    folder,
                    rule=f"collect_{kind}",
                    identity=digest.of_value([folder.identity, kind, place]),
                )
        return found

    def _own_folders(self, own: str) -> dict[str, Folder]:
        config = self.config
        found = {}
        for model, corpus, name in self.classified:
            identity = self._of_classification(model, corpus, name)
            folder = Folder("classify", identity, model, corpus, classification=name)
            found[f"{own}/classify/{model}/{corpus}/{name}"] = folder
        for model in config.models:
            profiles = [self._of_profile(model, corpus) for corpus in self.corpora]
            found[f"{own}/power_law/{model}"] = Folder(
                "power_law", digest.of_value([self.corpora, profiles]), model
            )
        for model in config.models:
            for name in filter(self.prepares, config.methods):
                corpus = config.methods[name].corpus
                identity = digest.of_value([*self._read_in(model, name), self.preparing(name)])
                folder = Folder("prepare", identity, model, corpus, name)
                found[f"{own}/prepare/{model}/{name}"] = folder
        for c in self.conditions:
            method = config.methods[c.method]
            fitted = self._of_fit(c)
            place = f"{c.model}/{c.method}/{c.level}/{c.seed}"
            rule = "fit" if self.by_tables(c.method) else "fit_with_model"
            folder = Folder(rule, fitted, c.model, method.corpus, c.method)
            found[f"{own}/fit/{place}"] = folder
            evaluated = digest.of_value([fitted, self._of_evaluation(c.model)])
            folder = Folder("evaluate", evaluated, c.model, method=c.method)
            found |= _divided(f"{own}/evaluate", place, folder, config.evaluation.shards)
            found[f"{own}/evaluate/{place}"] = replace(folder, merges=config.evaluation.shards > 1)
        return found

    @cache  # noqa: B019
    def _of_fit(self, c: Condition) -> str:
        asked = [c.method, self.fitting(c.method, c.level), c.seed]
        matched = self.matched_plan(c.model, c.method, c.level)
        other = [self._of_fit(matched)] if matched else []
        if self.removes(c.method):
            other.append(self._of_profile(c.model, self.activity_corpus))
        return digest.of_value([*self._read_in(c.model, c.method), *asked, *other])

    @cache  # noqa: B019
    def _read_in(self, model: str, method: str) -> list[str]:
        """What a method is fitted on: profile, classification and further corpora, by identity."""
        section = self.config.methods[method]
        found = [self._of_profile(model, section.corpus)]
        if section.classification:
            found.append(self._of_classification(model, section.corpus, section.classification))
        found += [self._of_profile(model, corpus) for corpus in self.read_by(method, "profile")]
        found += [self._of_corpus(model, corpus) for corpus in self.read_by(method, "sequences")]
        return found

    @cache  # noqa: B019
    def _of_classification(self, model: str, corpus: str, name: str) -> str:
        section = self.config.classification[name]
        parts = [self._of_profile(model, corpus), name, section.model_dump()]
        if section.other:
            whole = self.needs(section.policy) == "profile"
            parts.append((self._of_profile if whole else self._of_corpus)(model, section.other))
        return digest.of_value(parts)

    @cache  # noqa: B019
    def _of_corpus(self, model: str, corpus: str) -> str:
        section = self.section("calibration", corpus) | {"shards": 1}
        parts = [self.model_key(model), section, self._corpus_identity(corpus)]
        return digest.of_value([corpus, *parts, self._task_identities])

    @cache  # noqa: B019
    def _of_profile(self, model: str, corpus: str) -> str:
        section = self.config.profile.model_dump(exclude={"shards", "collect", "residual_tokens"})
        return digest.of_value([self._of_corpus(model, corpus), section])

    @cache  # noqa: B019
    def _of_evaluation(self, model: str) -> str:
        section = self.evaluation() | {"shards": 1}
        return digest.of_value([self.model_key(model), section, self._task_identities])

    @cached_property
    def _task_identities(self) -> list[str]:
        return [tasks.find(name).identity() for name in self.config.evaluation.tasks]

    def _corpus_identity(self, corpus: str) -> str:
        section = self.config.calibration[corpus]
        kind, _, where = section.source.partition(":")
        return CORPORA.load(kind).identity(where, section)

    def _check_corpus(self, corpus: str) -> None:
        section = self.config.calibration[corpus]
        kind, _, where = section.source.partition(":")
        CORPORA.load(kind).check(where, section)

    # What decides a rerun, besides configuration.

    @cache  # noqa: B019
    def source(self, rule: str, *, model: str = "", corpus: str = "", method: str = "",
               classification: str = "") -> Source:  # fmt: skip
        """Digest of the code, entries, data and library versions behind one job."""
        entries: list[str] = []
        if model and rule in _OF_MODELS:
            entries += self._views(model)
        if corpus and rule in ("extract_shard", "extract_calibration"):
            kind = self.config.calibration[corpus].source.partition(":")[0]
            entries.append(_entry(CORPORA, kind))
        if classification:
            policy = self.config.classification[classification].policy
            entries.append(_entry(POLICIES, policy))
            if self.needs(policy) == "sequences":
                entries += self._views(model)
        if method:
            parts = self.config.methods[method].parts
            if rule == "prepare":
                parts = self.preparing(method)["parts"]
            entries += [_entry(PARTS[kind], part["name"]) for kind, part in parts.items()]
        data = []
        if rule in _OF_TASKS:
            data = self._task_identities
        return rule_source(rule, tuple(entries), tuple(data))

    def source_behind(self, folder: Folder) -> str:
        """Digest of `source` for the job that makes a folder of `folders`, as it stands in the
        manifests of what the job makes."""
        found: str = self.source(
            folder.rule, model=folder.model, corpus=folder.corpus, method=folder.method,
            classification=folder.classification,
        )["digest"]  # fmt: skip
        return found

    def _views(self, model: str) -> list[str]:
        """The view a model uses; all of them for a Hub model, known only after its download."""
        section = self.config.models[model]
        if section.kind == "hub":
            return list(view_entries())
        settings = model_source.settings(model_source.local_folder(section))
        named = [n for n in settings.get("architectures") or [] if n in ARCHITECTURES]
        return [_entry(ARCHITECTURES, name) for name in named]


def _divided(
    stage: str, key: str, folder: Folder, shards: int, least: int = 2
) -> dict[str, Folder]:
    """Folders of the shards of a stage; none below `least` of them."""
    return {
        f"{stage}_shard/{key}/{shard}-of-{shards}": replace(
            folder,
            rule=f"{folder.rule}_shard",
            identity=digest.of_value([folder.identity, shard, shards]),
            shards=shards,
        )
        for shard in range(shards if shards >= least else 0)
    }


def _check_classification(section: Classification, config: StudyConfig) -> None:
    """Refuse options that the policy lacks or has no use for."""
    policy = POLICIES.load(section.policy)
    given = {name for name in ("share", "other", "rise") if getattr(section, name) is not None}
    for name in sorted(policy.options - given):
        raise UserError(f"{name}: {section.policy} needs it")
    for name in sorted(given - policy.options):
        taken = ", ".join(sorted(policy.options))
        raise UserError(f"{name}: {section.policy} has no use for it; it takes {taken}")
    if section.other and section.other not in config.calibration:
        raise UserError("other: " + unknown_name("corpus", section.other, config.calibration))
    if "rise" in policy.options:
        if section.other in {method.corpus for method in config.methods.values()}:
            raise UserError(
                f"other: methods rank neurons on {section.other!r}; name a corpus that is held out"
            )
        if section.scope != "model":
            raise UserError("scope: a rise is of the whole model's perplexity; give model")


def _load(kind: str, method: Method) -> Any:
    """The registered class of a method's part."""
    return PARTS[kind].load(getattr(method, kind).name)


def _check_method(method: Method, config: StudyConfig) -> None:
    """Refuse what the parts have no use for, and levels, seeds and corpora that do not fit them."""
    if not method.parts:
        raise UserError(f"a method has at least one part: {', '.join(PARTS)}")
    entries = {kind: _load(kind, method) for kind in method.parts}
    if len(method.seeds) > 1 and not any(getattr(e, "seeded", False) for e in entries.values()):
        drawing = " and ".join(part["name"] for part in method.parts.values())
        raise UserError(
            f"seeds: {drawing} draws nothing, so one seed is enough; given {list(method.seeds)}"
        )
    if method.weights is not None:
        _check_pattern(method)
    for kind, entry in entries.items():
        for option in entry.reads:
            named = getattr(method, kind).options[option]
            if named is not None and named not in config.calibration:
                raise UserError(
                    f"{kind}.{option}: " + unknown_name("corpus", named, config.calibration)
                )
            if named == method.corpus and entry.reads[option] == "profile":
                raise UserError(
                    f"{kind}.{option}: {named} is the method's own corpus; name another"
                )
    if method.sparsifier is None:
        _check_without_sparsifier(method)
    elif entries["sparsifier"].part:
        _check_parted(method, entries["sparsifier"])
    else:
        _check_sparsifier(method, entries["sparsifier"])
    both = method.weights is not None and method.sparsifier is not None
    if both and method.weights.options["share"] is None:
        raise UserError(
            "weights.share: with a sparsifier the levels are the sparsifier's; say how much of "
            "the weights is removed"
        )
    if method.compensation is not None:
        try:
            entries["compensation"]().check(method.parts)
        except Refused as reason:
            raise UserError(f"compensation: {reason}") from None
    if method.compensation is not None and method.sparse_from != "start":
        raise UserError(
            f"sparse_from: {method.compensation.name} becomes a bias, which every token meets; "
            "give start"
        )


def _check_pattern(method: Method) -> None:
    """Refuse a share that a pattern of zeros does not have."""
    options = method.weights.options
    if options["pattern"] == CHANNELS or (own := pattern_share(options["pattern"])) is None:
        return
    asked = method.levels if options["share"] is None else (options["share"],)
    if method.sparsifier is None and asked != (own,) or options["share"] not in (None, own):
        raise UserError(
            f"{'levels' if options['share'] is None else 'weights.share'}: the pattern "
            f"{options['pattern']} removes {own} of the weights; given {list(asked)}"
        )


def _check_without_sparsifier(method: Method) -> None:
    for key, plain in (("measure", None), ("sparse_from", "start"), ("scope", "layer")):
        if getattr(method, key) != plain:
            raise UserError(f"{key}: without a sparsifier it has no use; give {plain or 'null'}")
    if method.weights is None:
        if method.levels != (WHOLE,):
            raise UserError(
                f"levels: this method has none, so give [{WHOLE}]; given {list(method.levels)}"
            )
        return
    if method.weights.options["share"] is not None:
        raise UserError(
            "weights.share: without a sparsifier the levels are the weights' own shares"
        )
    wrong = [level for level in method.levels if not isinstance(level, float)]
    if wrong:
        raise UserError(
            f"levels: {method.weights.name} removes a share of the weights, a number between 0 and "
            f"1; given {wrong}"
        )


def _check_parted(method: Method, sparsifier: Any) -> None:
    if method.scope not in sparsifier.scopes:
        raise UserError(
            f"scope: {method.sparsifier.name} removes one {sparsifier.part} at a time; give "
            f"{' or '.join(sparsifier.scopes)}"
        )
    if method.measure is not None:
        raise UserError(f"measure: {method.sparsifier.name} removes parts by number; give null")
    _needs_classification(method)
    first, last = sparsifier.numbers
    wrong = [n for n in method.levels if not isinstance(n, int) or not first <= n <= last]
    if wrong:
        raise UserError(
            f"levels: {method.sparsifier.name} removes one {sparsifier.part} at a time, so a level "
            f"is its whole number, from {first}"
            f"{f' to {last:g}' if last < float('inf') else ''}; given {wrong}"
        )


def _check_sparsifier(method: Method, sparsifier: Any) -> None:
    name = method.sparsifier.name
    if sparsifier.needs_classification(method.sparsifier.options):
        _needs_classification(method)
    elif method.classification is not None:
        raise UserError(f"classification: {name} has no use for one; give null")
    if not sparsifier.static and method.scope != "layer":
        raise UserError(f"scope: {name} goes token by token, in every layer; give layer")
    if sparsifier.sparse_from and method.sparse_from != sparsifier.sparse_from:
        raise UserError(
            f"sparse_from: {name} starts where the prompt ends; give {sparsifier.sparse_from}"
        )
    sets = ("cold", "hot") if sparsifier.static and method.measure is None else ()
    wrong = [n for n in method.levels if not isinstance(n, float) and n not in sets]
    if wrong and sets:
        raise UserError(
            f"levels: {name} removes a share of the neurons, so a level is a number between 0 and "
            f"1, 'cold' or 'hot'; given {wrong}"
        )
    if wrong:
        raise UserError(f"levels: a level of {name} is a number between 0 and 1; given {wrong}")


def _needs_classification(method: Method) -> None:
    if method.classification is None:
        raise UserError(
            f"classification: {method.sparsifier.name} goes by one; name one of the configuration's"
        )


@cache
def rule_source(rule: str, entries: tuple[str, ...] = (), data: tuple[str, ...] = ()) -> Source:
    """What a rule's result rests on besides configuration and inputs: `digest`, of the rule's text,
    its script's source closure, named registry entries with theirs, data and libraries; and
    `libraries`, their versions."""
    rules_file, libraries = RULES[rule]
    script = PROJECT / "workflow" / "scripts" / f"{rule}.py"
    modules = {entry.partition(":")[0] for entry in entries}
    versions = dict(digest.versions(*libraries))
    found = digest.of_value(
        {
            "rule": digest.rule_text(PROJECT / "rules" / f"{rules_file}.smk", rule),
            "source": digest.source_closure(str(script), *sorted(modules)),
            "entries": sorted(entries),
            "data": list(data),
            "versions": versions,
            "template": _template() if rule == "build_report" else None,
        }
    )
    return {"digest": found, "libraries": versions}


def family_entries() -> tuple[str, ...]:
    """Registry entries of all task families of the built-in language."""
    return tuple(sorted(_entry(FAMILIES, name) for name in FAMILIES))


def view_entries() -> tuple[str, ...]:
    """Registry entries of all FFN views."""
    return tuple(sorted({_entry(ARCHITECTURES, name) for name in ARCHITECTURES}))


def _template() -> str:
    folder = digest.SOURCE_ROOT / "pipeline" / "report"
    return digest.of_files(folder, [folder / f"{name}.html.j2" for name in ("template", "style")])


def _entry(registry: Registry, name: str) -> str:
    """`module:object` of a registered name."""
    return registry[registry.check(name)]


def _key(name: str, value: Any) -> str:
    return f"{name}-{digest.of_value(value)[:_KEY_DIGITS]}"


def read_config(path: Path) -> dict[str, Any]:
    """A configuration file as a mapping; UserError when it is missing or no mapping, or holds what
    `plain_yaml` refuses."""
    try:
        loaded = plain_yaml.read(path)
    except OSError as error:
        raise UserError(
            f"configuration {path}: {error.strerror}; give --config FILE (with make: CONFIG=FILE)"
        ) from error
    except UserError as error:
        raise UserError(f"configuration {error}") from error
    if not isinstance(loaded, dict):
        raise UserError(f"configuration {path} holds no keys")
    return loaded
