"""The folders of all of a study's jobs, in the order of a run."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import get_args

from pipeline.planning import orders
from pipeline.planning.conditions import Condition
from pipeline.planning.folder import Folder, divided
from pipeline.planning.inputs import Inputs, Reads, files
from pipeline.planning.stage import Each
from pipeline.planning.stages import ORDER, STAGES
from pipeline.store import digest

#: Rule that puts shards together -> the rule that makes them.
_SHARDS_OF = {stage.serves: rule for rule, stage in STAGES.items() if stage.serves}

Placed = Iterator[tuple[str, Folder]]


class Folders(Inputs):
    """A configuration with the folders of what it makes."""

    @cached_property
    def folders(self) -> dict[str, Folder]:
        """Folder of results -> its Folder, for all of the study's jobs, stage by stage."""
        made: dict[str, Folder] = {}
        for model in self.config.models:
            made.update(self._of_model(model))
        for pair in self.extracted:
            made.update(self._of_text(*pair))
        for pair in self.profiled:
            made.update(self._of_activity(*pair))
        made.update(self._of_classes())
        for condition in self.conditions:
            made.update(self._of_condition(condition))
        for rule in STAGES:
            made.update(self._declared(rule, made))
        made.update(self._last(made))
        return dict(sorted(made.items(), key=lambda item: ORDER[item[1].rule]))

    @cached_property
    def trained(self) -> dict[str, dict[str, object]]:
        """Folder whose training.parquet has loss curves -> the training that they are of. Level and
        seed are None where all conditions of a method share what was trained."""
        made: dict[str, dict[str, object]] = {}
        for model in self.config.models:
            for method in self.config.methods:
                facts = {"model": model, "method": method, "level": None, "seed": None}
                if losses := self.objectives(method, shared=True):
                    place = self.place("prepare", model=model, method=method)
                    made[place] = {**facts, "objective": losses}
        for c in self.conditions:
            if losses := self.objectives(c.method, shared=False):
                place = self.condition_place("fit_with_model", c)
                made[place] = {**vars(c), "objective": losses}
        return made

    def _of_model(self, model: str) -> Placed:
        key, conversion = self.model_key(model), self.conversion(model)
        if conversion:
            yield self.converted_place(model), Folder("convert_model", key, model)
        yield self.model_place(model), Folder("resolve_model", key, model, reads=conversion)
        checks = self.overlap_checks(model)
        folder = Folder("clear_tasks", self.of_tasks(model), model, reads=checks)
        yield self.tasks_place(model), folder
        reads = self.evaluated(model)
        folder = Folder("evaluate_dense", self.of_evaluation(model), model, reads=reads)
        shards = self.config.evaluation.shards
        yield from self._with_shards(folder, shards, dense_key=self.dense_key(model))

    def _of_text(self, model: str, corpus: str) -> Placed:
        identity, reads = self.of_corpus(model, corpus), self.record(model)
        folder = Folder("extract_calibration", identity, model, corpus, reads=reads)
        shards = self.config.calibration[corpus].shards
        yield from self._with_shards(folder, shards, corpus_key=self.corpus_key(model, corpus))

    def _of_activity(self, model: str, corpus: str) -> Placed:
        key = self.profile_key(model, corpus)
        identity, text = self.of_profile(model, corpus), self.sequences(model, corpus)
        sample = digest.of_value([identity, "sample"])
        folder = Folder("profile_sample", sample, model, corpus, reads=text)
        yield self.profile_place(model, corpus, "profile_sample"), folder
        limits = self.limits(model, corpus)
        folder = Folder("merge_profile", identity, model, corpus, reads={**text, **limits})
        merged = {**self.record(model), **limits}
        yield from self._with_shards(folder, self.config.profile.shards, merged, profile_key=key)

    def _of_classes(self) -> Placed:
        for model, corpus, name in self.classified:
            identity, reads = (
                self.of_classification(model, corpus, name),
                self.classified_on(model, corpus, name),
            )
            place = self.place("classify", model=model, corpus=corpus, classification=name)
            yield (
                place,
                Folder("classify", identity, model, corpus, classification=name, reads=reads),
            )
        for model in self.config.models:
            for name in filter(self.prepares, self.config.methods):
                identity = digest.of_value([*self.read_in(model, name), self.preparing(name)])
                corpus, reads = self.config.methods[name].corpus, self.evidence(model, name)
                folder = Folder("prepare", identity, model, corpus, name, reads=reads)
                yield self.place("prepare", model=model, method=name), folder

    def _of_condition(self, c: Condition) -> Placed:
        fitted, corpus = self.of_fit(c), self.config.methods[c.method].corpus
        rule = "fit" if self.by_tables(c.method) else "fit_with_model"
        plan = self.condition_place(rule, c)
        yield plan, Folder(rule, fitted, c.model, corpus, c.method, reads=self.fitted_on(c))
        identity = digest.of_value([fitted, self.of_evaluation(c.model)])
        reads = {
            **self.evaluated(c.model),
            "plan": files(rule, "plan", plan),
            "arrays": files(rule, "arrays", plan),
        }
        folder = Folder("evaluate", identity, c.model, method=c.method, reads=reads)
        yield from self._with_shards(folder, self.config.evaluation.shards, **vars(c))

    def _declared(self, rule: str, made: Mapping[str, Folder]) -> Placed:
        """The jobs of a stage that names in `each` what it has one job for; `made` are the folders
        of the jobs so far, from which its inputs come."""
        stage = STAGES[rule]
        if stage.each is None:
            return
        if late := [read for read, _ in stage.inputs.values() if ORDER[read] >= ORDER[rule]]:
            raise ValueError(f"stage {rule} reads {late[0]}, which stands after it in the table")
        jobs = list(self._each(rule, stage.each))
        sources = {
            name: _agreeing(jobs, [place for place in made.items() if place[1].rule == read])
            for name, (read, _) in stage.inputs.items()
        }
        for number, job in enumerate(jobs):
            places = {name: found[number] for name, found in sources.items()}
            read = {name: [made[place].identity for place in places[name]] for name in places}
            about = [getattr(job, name) for name in _ABOUT]
            identity = digest.of_value([rule, about, read, stage.settings(self, job)])
            reads = {name: files(*stage.inputs[name], *places[name]) for name in places}
            yield self.place_of(job), replace(job, identity=identity, reads=reads)

    def _each(self, rule: str, each: Each) -> Iterator[Folder]:
        """What the jobs are about of a stage that has one for each of these."""
        match each:
            case "study":
                yield Folder(rule, "")
            case "model":
                yield from (Folder(rule, "", model) for model in self.config.models)
            case "text":
                yield from (Folder(rule, "", *pair) for pair in self.extracted)
            case "profile":
                yield from (Folder(rule, "", *pair) for pair in self.profiled)
            case "classification":
                for model, corpus, name in self.classified:
                    yield Folder(rule, "", model, corpus, classification=name)
            case _:
                raise ValueError(f"stage {rule}: each {each!r} is not one of {get_args(Each)}")

    def _last(self, made: Mapping[str, Folder]) -> Placed:
        """The folders of the analysis and the report, which rest on what all other jobs have
        made."""
        read = [f.identity for f in made.values() if f.rule in ("evaluate", "evaluate_dense")]
        read += [made[folder].identity for folder in self._analysed()]
        config = self.config
        # What planning derives from the configuration affects the result, just as the files do.
        measures = {name: self.measure(name) for name in config.methods}
        planned = [orders.orders(self), self.parted, measures]
        parts = [config.study, config.seed, config.analysis.model_dump(), read, planned]
        analysis = Folder("analyse", digest.of_value(parts))
        yield self.place("analyse"), analysis
        rules = ("classify", "power_law", "extract_calibration", "check_overlap")
        shown = [f.identity for rule in rules for f in made.values() if f.rule == rule]
        told = [self.methods, orders.by_steps(self)]
        report = Folder("build_report", digest.of_value([analysis.identity, shown, told]))
        yield self.place("build_report"), report

    def _analysed(self) -> list[str]:
        """Folders of the profiles and classifications that the analysis reads."""
        methods = self.config.methods
        main = self.main_corpus, self.main_classification
        read = [(model, *main) for model in self.config.models]
        for model, name, _ in self.parted:
            read.append((model, methods[name].corpus, str(methods[name].classification)))
        activity = [(model, self.activity_corpus) for model in self.config.models]
        return [self.profile_place(*pair) for pair in [*(row[:2] for row in read), *activity]] + [
            self.place("classify", model=model, corpus=corpus, classification=name)
            for model, corpus, name in read
        ]

    def _with_shards(
        self, folder: Folder, number: int, merged: Reads | None = None, **values: object
    ) -> Placed:
        """The folders of a stage's shards, where it is divided, and then its own. The shards read
        what `folder` does; what puts them together reads that, or `merged`, and the shards."""
        rule = _SHARDS_OF[folder.rule]
        numbers = range(number) if number >= STAGES[rule].least_shards else ()
        shards = [self.place(rule, **values, shard=n, shards=number) for n in numbers]
        yield from divided(folder, rule, shards).items()
        reads = {**(folder.reads if merged is None else merged)}
        if shards:
            for name, output in STAGES[rule].parts.items():
                reads[name] = files(rule, output, *shards)
        yield self.place(folder.rule, **values), replace(folder, merges=number > 1, reads=reads)


#: What jobs can be about, as `Folder` names it.
_ABOUT = ("model", "corpus", "classification", "method")


def _agreeing(
    jobs: Sequence[Folder], others: Sequence[tuple[str, Folder]]
) -> list[tuple[str, ...]]:
    """For each job, the folders of the other jobs that agree with it in everything that both are
    about."""
    if not jobs or not others:
        return [() for _ in jobs]
    both = [name for name in _ABOUT if getattr(jobs[0], name) and getattr(others[0][1], name)]
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for place, folder in others:
        found[tuple(getattr(folder, name) for name in both)].append(place)
    return [tuple(found[tuple(getattr(job, name) for name in both)]) for job in jobs]
