"""What each artifact of a study is, as far as that is known before any job: keys and identities.

A key names the folder of what studies share: a name that people know, and a digest of all that the
artifact depends on besides source. The number of jobs that the work is divided among changes no
byte, but is part of a key nevertheless: otherwise studies that divide the work differently would
make each other's artifacts anew.

An identity says the same of every artifact, however the work is divided. Each artifact carries its
own, so that one put in another's place is recognised.
"""

from functools import cache, cached_property
from typing import Any

from pipeline.config.calibration import Corpus
from pipeline.models import source as model_source
from pipeline.planning.conditions import Condition, Conditions
from pipeline.registry import CORPORA
from pipeline.store import digest
from pipeline.tasks import task as tasks

_KEY_DIGITS = 12


class Identities(Conditions):
    """A configuration with the keys and identities of what it makes."""

    @cache  # noqa: B019 - one study lives as long as the process
    def model_key(self, model: str) -> str:
        """Folder of a resolved model."""
        return _key(model, [model, model_source.identity(self.config.models[model])])

    @cache  # noqa: B019
    def corpus_key(self, model: str, corpus: str) -> str:
        """Folder of a corpus in a model's tokens."""
        shards = self.config.calibration[corpus].shards
        return _key(f"{model}.{corpus}", [self.of_corpus(model, corpus), shards])

    @cache  # noqa: B019
    def overlap_key(self, corpus: str) -> str:
        """Folder, in that of a corpus, of its comparison with the study's tasks."""
        return digest.of_value([self.overlap(corpus), self.task_identities])[:_KEY_DIGITS]

    @cache  # noqa: B019
    def tasks_key(self, model: str) -> str:
        """Folder of what says that the study's tasks may be evaluated on a model."""
        return _key(model, self.of_tasks(model))

    @cache  # noqa: B019
    def profile_key(self, model: str, corpus: str) -> str:
        """Folder of a profile."""
        shards = [self.config.calibration[corpus].shards, self.config.profile.shards]
        return _key(f"{model}.{corpus}", [self.of_profile(model, corpus), shards])

    @cache  # noqa: B019
    def dense_key(self, model: str) -> str:
        """Folder of a dense evaluation: once per model and task set."""
        return _key(model, [self.of_evaluation(model), self.config.evaluation.shards])

    @cache  # noqa: B019
    def of_fit(self, c: Condition) -> str:
        """Identity of a condition's plan."""
        asked = [c.method, self.fitting(c.method, c.level), c.seed]
        matched = self.matched_plan(c.model, c.method, c.level)
        other = [self.of_fit(matched)] if matched else []
        if self.removes(c.method):
            other.append(self.of_profile(c.model, self.activity_corpus))
        return digest.of_value([*self.read_in(c.model, c.method), *asked, *other])

    @cache  # noqa: B019
    def read_in(self, model: str, method: str) -> list[str]:
        """What a method is fitted on: profile, classification and further corpora, by identity."""
        section = self.config.methods[method]
        found = [self.of_profile(model, section.corpus)]
        if section.classification:
            found.append(self.of_classification(model, section.corpus, section.classification))
        found += [self.of_profile(model, corpus) for corpus in self.read_by(method, "profile")]
        found += [self.of_corpus(model, corpus) for corpus in self.read_by(method, "sequences")]
        return found

    @cache  # noqa: B019
    def of_classification(self, model: str, corpus: str, name: str) -> str:
        """Identity of a classification of a model's neurons by their profile on a corpus."""
        section = self.config.classification[name]
        parts: list[Any] = [self.of_profile(model, corpus), name, section.model_dump()]
        if section.other:
            whole = self.needs(section.policy) == "profile"
            parts.append((self.of_profile if whole else self.of_corpus)(model, section.other))
        return digest.of_value(parts)

    @cache  # noqa: B019
    def of_corpus(self, model: str, corpus: str) -> str:
        """Identity of a corpus in a model's tokens."""
        content = corpus_identity(self.config.calibration[corpus])
        return digest.of_value([corpus, self.model_key(model), self.text(corpus), content])

    @cache  # noqa: B019
    def of_profile(self, model: str, corpus: str) -> str:
        """Identity of a model's profile on a corpus."""
        section = self.config.profile.model_dump(exclude={"shards"})
        return digest.of_value([self.of_corpus(model, corpus), section])

    @cache  # noqa: B019
    def of_evaluation(self, model: str) -> str:
        """Identity of the evaluation of a dense model."""
        section = self.evaluation() | {"shards": 1}
        return digest.of_value([self.model_key(model), section, self.task_identities])

    def of_tasks(self, model: str) -> str:
        """Identity of what says that the study's tasks may be evaluated on a model."""
        return digest.of_value([self.model_key(model), self.task_identities])

    @cached_property
    def task_identities(self) -> list[str]:
        """Identities of the study's tasks, by their files and items."""
        return [tasks.find(name).identity() for name in self.config.evaluation.tasks]


def corpus_identity(corpus: Corpus) -> str:
    """Identity of a corpus' content, as its kind determines it without a network."""
    kind, _, where = corpus.source.partition(":")
    identity: str = CORPORA.load(kind).identity(where, corpus)
    return identity


def _key(name: str, value: Any) -> str:
    return f"{name}-{digest.of_value(value)[:_KEY_DIGITS]}"
