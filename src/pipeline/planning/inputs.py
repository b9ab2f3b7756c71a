"""Where the results of a study stand, and which files each job reads, by the rule's input names.

The rules also name their inputs, for people to read. This module repeats them independently: a job
whose inputs differ from these is refused, and a test compares the two.
"""

from collections.abc import Mapping
from functools import cache, cached_property

from pipeline.planning.conditions import Condition
from pipeline.planning.folder import Folder
from pipeline.planning.identities import Identities
from pipeline.planning.stages import STAGES

Reads = Mapping[str, tuple[str, ...]]


class Inputs(Identities):
    """A configuration with the folders of its jobs, by what they are about, and their inputs."""

    def place(self, rule: str, **values: object) -> str:
        """The folder that the job of a rule with these wildcards writes."""
        return STAGES[rule].place(study=self.config.study, **values)

    def place_of(self, folder: Folder) -> str:
        """The folder that a job of a rule writes, for wildcards that follow from the model, corpus,
        method and classification."""
        values = {name: self._wildcard(name, folder) for name in STAGES[folder.rule].wildcards}
        return self.place(folder.rule, **values)

    def _wildcard(self, name: str, folder: Folder) -> str:
        model, corpus = folder.model, folder.corpus
        match name:
            case "model_key" | "dense_key" | "tasks_key":
                key: str = getattr(self, name)(model)
            case "corpus_key" | "profile_key":
                key = getattr(self, name)(model, corpus)
            case "overlap_key":
                key = self.overlap_key(corpus)
            case _:
                key = getattr(folder, name)
        return key

    @cache  # noqa: B019 - one study lives as long as the process
    def model_place(self, model: str) -> str:
        """Folder of a resolved model."""
        return self.place("resolve_model", model_key=self.model_key(model))

    @cache  # noqa: B019
    def converted_place(self, model: str) -> str:
        """Folder of a model that was made from a GGUF file."""
        return self.place("convert_model", model_key=self.model_key(model))

    @cache  # noqa: B019
    def conversion(self, model: str) -> Reads:
        """The input that resolving a converted model has; none for another model."""
        if not self.config.models[model].converted:
            return {}
        return {"converted": files("convert_model", "converted", self.converted_place(model))}

    @cached_property
    def places(self) -> dict[str, str]:
        """Local paths by the names that params hold instead; a converted model is loaded from the
        folder that its conversion makes."""
        made = {
            f"local:models.{name}": f"./{self.converted_place(name)}"
            for name, model in self.config.models.items()
            if model.converted
        }
        return super().places | made

    @cache  # noqa: B019
    def corpus_place(self, model: str, corpus: str) -> str:
        """Folder of a corpus in a model's tokens."""
        return self.place("extract_calibration", corpus_key=self.corpus_key(model, corpus))

    @cache  # noqa: B019
    def overlap_place(self, model: str, corpus: str) -> str:
        """Folder of the comparison of a corpus with the study's tasks."""
        return self.place(
            "check_overlap",
            corpus_key=self.corpus_key(model, corpus),
            overlap_key=self.overlap_key(corpus),
        )

    @cache  # noqa: B019
    def tasks_place(self, model: str) -> str:
        """Folder of what says that the study's tasks may be evaluated on a model."""
        return self.place("clear_tasks", tasks_key=self.tasks_key(model))

    @cache  # noqa: B019
    def profile_place(self, model: str, corpus: str, rule: str = "merge_profile") -> str:
        """Folder of a profile, or of its sample."""
        return self.place(rule, profile_key=self.profile_key(model, corpus))

    @cache  # noqa: B019
    def classes_place(self, model: str, method: str) -> str:
        """Folder of the classification that a method goes by."""
        section = self.config.methods[method]
        return self.place(
            "classify", model=model, corpus=section.corpus, classification=section.classification
        )

    def condition_place(self, rule: str, condition: Condition) -> str:
        """Folder of a condition's plan or evaluation."""
        return self.place(rule, **vars(condition))

    @cache  # noqa: B019
    def record(self, model: str) -> Reads:
        """The input that every job about a model has: its model.json."""
        return {"record": files("resolve_model", "model", self.model_place(model))}

    @cache  # noqa: B019
    def evaluated(self, model: str) -> Reads:
        """What every evaluation of a model reads."""
        cleared = files("clear_tasks", "cleared", self.tasks_place(model))
        return {**self.record(model), "cleared": cleared}

    def overlap_checks(self, model: str) -> Reads:
        """What has to be there before a model is evaluated."""
        corpora = [corpus for other, corpus in self.extracted if other == model]
        places = [self.overlap_place(model, corpus) for corpus in corpora]
        return {"overlap_checks": files("check_overlap", "overlap", *places)}

    @cache  # noqa: B019
    def sequences(self, model: str, corpus: str) -> Reads:
        """The inputs of every job that sends a corpus through a model."""
        place = self.corpus_place(model, corpus)
        return {**self.record(model), "sequences": files("extract_calibration", "sequences", place)}

    @cache  # noqa: B019
    def limits(self, model: str, corpus: str) -> Reads:
        """The limits above which a neuron of a profile counts as active."""
        place = self.profile_place(model, corpus, "profile_sample")
        return {name: files("profile_sample", name, place) for name in ("thresholds", "norms")}

    def classified_on(self, model: str, corpus: str, name: str) -> Reads:
        """What a classification goes by."""
        section = self.config.classification[name]
        reads = {**self.record(model), "neurons": self._neurons(model, corpus)}
        needed = self.needs(section.policy) if section.other else ""
        if section.other and needed == "profile":
            reads["other_neurons"] = self._neurons(model, section.other)
        if section.other and needed == "sequences":
            reads["other_sequences"] = self.sequences(model, section.other)["sequences"]
        return reads

    @cache  # noqa: B019
    def evidence(self, model: str, method: str) -> Reads:
        """What a method is fitted on with the model."""
        section = self.config.methods[method]
        place = self.profile_place(model, section.corpus)
        return {
            **self.sequences(model, section.corpus),
            **{name: files("merge_profile", name, place) for name in ("neurons", "histograms")},
            **self.limits(model, section.corpus),
            **self._ranked_by(model, method),
        }

    def fitted_on(self, c: Condition) -> Reads:
        """What a condition is fitted on: tables alone, or with the model."""
        activity = {"activity": self._neurons(c.model, self.activity_corpus)}
        if self.by_tables(c.method):
            corpus = self.config.methods[c.method].corpus
            return {
                **self.record(c.model),
                "neurons": self._neurons(c.model, corpus),
                **self._ranked_by(c.model, c.method),
                **self._matched(c),
                **activity,
            }
        reads = {**self.evidence(c.model, c.method), **(activity if self.removes(c.method) else {})}
        if self.prepares(c.method):
            place = self.place("prepare", model=c.model, method=c.method)
            reads["prepared"] = files("prepare", "prepared", place)
        if corpora := self.read_by(c.method, "sequences"):
            places = [self.corpus_place(c.model, corpus) for corpus in corpora]
            reads["text"] = files("extract_calibration", "sequences", *places)
        return reads

    @cache  # noqa: B019
    def _ranked_by(self, model: str, method: str) -> Reads:
        """The classes on a method's own corpus, and the neurons of the profiles that it is compared
        with."""
        reads = {}
        if self.config.methods[method].classification:
            place = self.classes_place(model, method)
            reads["classes"] = files("classify", "classes", place)
        if corpora := self.read_by(method, "profile"):
            reads["distractor"] = self._neurons(model, *corpora)
        return reads

    def _matched(self, c: Condition) -> Reads:
        other = self.matched_plan(c.model, c.method, c.level)
        if other is None:
            return {}
        place = self.condition_place("fit", other)
        return {"matched": (*files("fit", "plan", place), *files("fit", "arrays", place))}

    @cache  # noqa: B019
    def _neurons(self, model: str, *corpora: str) -> tuple[str, ...]:
        places = [self.profile_place(model, corpus) for corpus in corpora]
        return files("merge_profile", "neurons", *places)


def files(rule: str, output: str, *places: str) -> tuple[str, ...]:
    """An output of a rule in each of the folders."""
    name = STAGES[rule].outputs[output].file
    return tuple(f"{place}/{name}" for place in places)
