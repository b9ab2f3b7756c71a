"""Fit methods on a model in memory and apply them to it, outside any study.

    plan = pipeline.fit(model, tokenizer, texts, "teal", 0.5)
    with pipeline.apply(model, plan):
        model.generate(**tokenizer("The answer is", return_tensors="pt"))

The functions call what the stages of a study call, so a plan has the arrays that a study fits on
the same model, texts and settings. `docs/library.md` is the guide.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pipeline.calibration.windows import windows_of
from pipeline.classification.base import PolicyEvidence
from pipeline.classification.classify import classify
from pipeline.classification.loss import Removal
from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.level import COLD, HOT, WHOLE, Level
from pipeline.config.methods import Method
from pipeline.config.profile import Profile
from pipeline.config.refusals import read_section
from pipeline.errors import UserError, at, unknown_name
from pipeline.evidence import Original
from pipeline.methods import fitting
from pipeline.methods.apply import apply as apply_parts
from pipeline.methods.plan import Asked, Plan, Refused, by_tables, reads
from pipeline.methods.removed import with_activity
from pipeline.methods.sparsifiers import static
from pipeline.methods.sparsifiers.neurons import neurons_of
from pipeline.methods.undo import undo
from pipeline.models import tokens as model_tokens
from pipeline.models.forward import Forward
from pipeline.models.lengths import positions, refuse_windows
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, fingerprint, whole
from pipeline.planning.validation import check_classification, check_method
from pipeline.profiling.evidence import histograms
from pipeline.profiling.whole import WholeProfile, profile_whole
from pipeline.registry import PARTS, POLICIES
from pipeline.tables.classes import CLASSES

if TYPE_CHECKING:
    import polars as pl

#: What the text that methods are fitted on is called where `others` have names.
_TEXTS = "texts"
#: Keys of a method in a configuration that are given otherwise here.
_ARGUMENTS = {
    "corpus": "texts", "classification": "classification", "levels": "level", "seeds": "seed",
}  # fmt: skip

_applied: "WeakSet[Any]" = WeakSet()


def fit(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    method: str | Mapping[str, Any],
    level: Level | float | int | str = WHOLE,
    **settings: Any,
) -> Plan:
    """Fit one method at one level; `Calibration` says what the arguments and `settings` are.

    The model is left as it was. To fit several methods or levels, make one `Calibration`: it
    profiles the model once.
    """
    ours = {name: settings.pop(name) for name in _OF_CALIBRATION if name in settings}
    return Calibration(model, tokenizer, texts, **ours).fit(method, level, **settings)


class Calibration:
    """A model with the texts that methods are fitted on; profiled once, by the first method that
    needs it.

    `model` is a causal language model of transformers, whole on one device and unquantized;
    `tokenizer` is its own. Of `texts` the first `tokens` tokens are used, in windows of
    `sequence_length`; without them as many as of a corpus in a configuration. `others` are texts by
    name, for options that name another corpus (`distractor` of selective, `corpus` of spon, `other`
    of a policy). `profile` holds keys of the section `profile` of a configuration, such as
    batch_size. Raises UserError for anything else.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        texts: Sequence[str],
        *,
        others: Mapping[str, Sequence[str]] | None = None,
        tokens: int | None = None,
        sequence_length: int | None = None,
        profile: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self._views = whole(model)
        self._tokenizer = _tokenizer(tokenizer, model)
        if _TEXTS in (others or {}):
            raise UserError(f"others: {_TEXTS!r} is the name of the texts themselves; give another")
        self._texts = {**(others or {}), _TEXTS: texts}
        for name, documents in self._texts.items():
            _check_texts(name, documents)
        asked = {"tokens": tokens, "sequence_length": sequence_length}
        given = {name: value for name, value in asked.items() if value is not None}
        corpus = read_section(Corpus, {"source": "path:texts", **given}, "calibration")
        self._tokens, self._length = corpus.tokens, corpus.sequence_length
        refuse_windows(_TEXTS, self._length, positions(model.config))
        self._config = read_section(Profile, profile or {}, "profile")
        self._sequences: dict[str, list[list[int]]] = {}
        self._profiles: dict[str, WholeProfile] = {}

    def fit(
        self,
        method: str | Mapping[str, Any],
        level: Level | float | int | str = WHOLE,
        *,
        seed: int = 0,
        classification: Mapping[str, Any] | None = None,
        matched: Plan | None = None,
    ) -> Plan:
        """The plan of a method at a level; the model is left as it was.

        `method` is the name of a part (a sparsifier, weight pruning or quantization), or a mapping
        as in a configuration: `weights`, `quantization`, `sparsifier` and `compensation`, each a
        name or a mapping of name and options, and `measure`, `sparse_from` and `scope`. `level` is
        a share above 0 and below 1, `cold` or `hot`, the number of a part such as a decile, or
        `whole` of a method without levels. `classification` holds the keys of a hot/cold policy and
        is coverage with a share of 0.8 where the method needs one. A random draw takes as many
        neurons of each layer as the plan `matched` removes.

        Raises UserError for what is wrong with the arguments, and Refused, with the reason, where
        the method makes no sense on this model at this level. Weight pruning, quantization and
        compensation are fitted on a copy of the model.
        """
        section = _method(method, level, seed, classification is not None)
        with at("method"):
            check_method(section, self._texts)
        policy = self._policy(section, classification)
        asked = Asked(
            section.parts, section.levels[0], section.measure, section.sparse_from,
            section.scope, seed,
        )  # fmt: skip
        _check_matched(asked, matched, self._views)
        if matched is not None and matched.fingerprint not in (None, self._fingerprint):
            raise UserError(
                "matched: this plan was fitted on other weights; give one of this model"
            )
        if self.model in _applied:
            raise UserError("a plan is applied to this model; remove it before fitting another")
        with _evaluating(self.model):
            plan = self._fitted(asked, policy, matched)
            if plan.dropped is not None:
                plan = with_activity(plan, self._profile(_TEXTS).neurons)
        if plan.refused:
            raise Refused(plan.refused)
        return replace(plan, fingerprint=self._fingerprint)

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.model)

    def _fitted(self, asked: Asked, policy: Classification | None, matched: Plan | None) -> Plan:
        neurons = self._neurons(asked, policy) if policy else None
        if neurons is not None and by_tables(asked.parts, asked.measure):
            return static.fit(asked, neurons, matched)
        original = Original(
            self._read(_TEXTS), self._tokenizer.all_special_ids, self._config,
            lambda: self._histograms, lambda: self._profile(_TEXTS).above, neurons,
        )  # fmt: skip
        changes = set(asked.parts) - {"sparsifier"}
        model = copy.deepcopy(self.model) if changes else self.model
        others = [self._read(name) for name in reads(asked.parts, "sequences")]
        plan, _ = fitting.fit(
            asked, original.evidence(model, asked), {}, lambda: self.model, *others
        )
        return plan

    def _policy(self, method: Method, given: Mapping[str, Any] | None) -> Classification | None:
        """The hot/cold policy of a method, None where it goes by none."""
        if method.classification is None:
            return None
        default = {"policy": "coverage", "share": 0.8, "scope": method.scope}
        policy = read_section(Classification, default if given is None else given, "classification")
        with at("classification"):
            check_classification(policy, self._texts, {_TEXTS})
        if {COLD, HOT} & set(method.levels) and policy.scope != method.scope:
            raise UserError(
                f"scope: the method's is {method.scope!r} and the classification's "
                f"{policy.scope!r}; at the level {method.levels[0].value!r} give both one scope"
            )
        return policy

    def _neurons(self, asked: Asked, policy: Classification) -> static.Neurons:
        """Every neuron with its profile and its class."""
        profile = self._profile(_TEXTS).neurons
        evidence = PolicyEvidence(profile)
        needs = POLICIES.load(policy.policy).needs
        if needs == "profile":
            evidence = evidence.beside(self._profile(str(policy.other)).neurons)
        elif needs == "sequences":
            rows = self._read(str(policy.other))
            removal = Removal(self.model, rows, self._tokenizer.all_special_ids)
            evidence = evidence.costing(removal.rise)
        exact_zeros = self._views.ffns[0].activation in EXACT_ZERO_ACTIVATIONS
        columns, _ = classify(evidence, policy, exact_zeros)
        distractors = [self._profile(name).neurons for name in reads(asked.parts, "profile")]
        return neurons_of(profile, CLASSES.frame(columns), *distractors)

    def _read(self, name: str) -> list[list[int]]:
        """The token sequences of a text."""
        if name not in self._sequences:
            self._sequences[name] = windows_of(
                self._texts[name], self._tokenizer, self._length, self._tokens, name
            )
        return self._sequences[name]

    @cached_property
    def _histograms(self) -> "pl.DataFrame":
        """Those of the profile; without the rest of it where nothing has asked for that."""
        if _TEXTS in self._profiles:
            return self._profiles[_TEXTS].histograms
        special = self._tokenizer.all_special_ids
        return histograms(self.model, self._read(_TEXTS), special, self._config)

    def _profile(self, name: str) -> WholeProfile:
        """The profile of the model on a text."""
        if name not in self._profiles:
            self._profiles[name] = profile_whole(
                self.model, self._read(name), self._tokenizer.all_special_ids, self._config
            )
        return self._profiles[name]


#: Settings of `fit` that a `Calibration` is made with.
_OF_CALIBRATION = ("others", "tokens", "sequence_length", "profile")


class Applied:
    """A plan at work on a model, until `remove` or the end of a `with` block.

    `forward` tells of the last forward pass what was skipped (models.forward.Forward).
    """

    def __init__(self, forward: Forward, ends: ExitStack) -> None:
        self.forward = forward
        self._ends = ends

    def remove(self) -> None:
        """Give the model its weights, biases and hooks back; nothing the second time."""
        self._ends.close()

    def __enter__(self) -> "Applied":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def apply(model: Any, plan: Plan) -> Applied:
    """Apply a plan to a model in place: every call of the model and `model.generate` are pruned.

    The model takes `input_ids`, as transformers' own calls do. Copies of the weights that change
    are held until the plan is removed (methods.undo). UserError for a model of another shape or
    with other weights, for one that a plan is applied to already, and for a plan that was refused.
    A study's plan does not tell the weights in memory, so of it the shape alone is compared.
    """
    views = whole(model)
    if model in _applied:
        raise UserError("a plan is applied to this model already; remove it first")
    if plan.refused:
        raise UserError(f"this plan was refused, so there is nothing to apply: {plan.refused}")
    neurons = sum(ffn.d_ff for ffn in views.ffns)
    if plan.neurons != neurons:
        raise UserError(
            f"the plan is of a model with {plan.neurons:,} FFN neurons and this one has "
            f"{neurons:,}; apply it to the model that it was fitted on"
        )
    _check_shape(plan, views, "the plan")
    if plan.fingerprint not in (None, fingerprint(model)):
        raise UserError(
            "the plan was fitted on other weights, or on the same in another type; apply it to the "
            "model that it was fitted on"
        )
    with ExitStack() as ends:
        _applied.add(model)
        ends.callback(_applied.discard, model)
        ends.callback(undo(plan, views))
        forward = apply_parts(plan, views, ends)
        ends.enter_context(forward.watching(model))
        return Applied(forward, ends.pop_all())


def _method(
    method: str | Mapping[str, Any], level: Level | float | int | str, seed: int, classified: bool
) -> Method:
    """The method as a section of a configuration."""
    parts = {_kind_of(method): method} if isinstance(method, str) else dict(method)
    for key, argument in _ARGUMENTS.items():
        if key in parts:
            raise UserError(f"method: {key} is no key here; give the argument {argument}")
    fixed = {"corpus": _TEXTS, "levels": (level,), "seeds": (seed,)}
    section = read_section(Method, {**parts, **fixed}, "method")
    update: dict[str, Any] = {}
    if section.sparsifier is not None:
        entry = PARTS["sparsifier"].load(section.sparsifier.name)
        classified = classified or entry.needs_classification(section.sparsifier.options)
        if entry.sparse_from and "sparse_from" not in parts:
            update["sparse_from"] = entry.sparse_from
    elif classified:
        raise UserError("classification: a method without a sparsifier goes by none; leave it out")
    return section.model_copy(update=update | {"classification": "own" if classified else None})


def _kind_of(name: str) -> str:
    """The kind of the one part that a name stands for."""
    kinds = [kind for kind, registry in PARTS.items() if name in registry]
    if not kinds:
        known = [each for registry in PARTS.values() for each in registry]
        raise UserError(unknown_name("method", name, known))
    return kinds[0]


def _check_matched(asked: Asked, matched: Plan | None, layout: Any) -> None:
    """Refuse a plan that a method has no use for or that is of another model or level, and a name
    of another method."""
    part = asked.parts.get("sparsifier")
    option = PARTS["sparsifier"].load(part["name"]).follows if part else None
    if matched is None:
        if part and option and part["options"][option] is not None:
            raise UserError(
                f"method: {option} names a method of a study; give that method's plan as matched"
            )
        return
    if option is None or not by_tables(asked.parts, asked.measure):
        raise UserError("matched: this method is matched to no other; leave it out")
    if matched.dropped is None:
        raise UserError("matched: this plan removes no neurons for good; give one that does")
    if matched.level != asked.level.text or matched.sparse_from != asked.sparse_from:
        raise UserError(
            f"matched: this plan is of level {matched.level}, sparse from {matched.sparse_from}, "
            f"and the method of level {asked.level.text}, sparse from {asked.sparse_from}; give "
            "both the same"
        )
    _check_shape(matched, layout, "matched: this plan")


def _check_shape(plan: Plan, layout: Any, name: str) -> None:
    """Refuse a plan that removes neurons of a model with other layers."""
    dropped = plan.dropped
    widths = [ffn.d_ff for ffn in layout.ffns]
    if dropped is not None and dropped.shape != (len(widths), widths[0]):
        layers, width = dropped.shape
        raise UserError(
            f"{name} is of {layers} layers of {width:,} neurons and the model has {len(widths)} of "
            f"{widths[0]:,}; give one that was fitted on this model"
        )


def _tokenizer(tokenizer: Any, model: Any) -> Any:
    """A copy of the tokenizer that leaves texts open at their end, as in a study."""
    ready = model_tokens.ready(copy.deepcopy(tokenizer))
    model_tokens.check(ready, (), model.get_input_embeddings().weight.shape[0])
    return ready


def _check_texts(name: str, texts: Sequence[str]) -> None:
    listed = isinstance(texts, Sequence) and not isinstance(texts, str)
    if not listed or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{name}: give a list of texts, one string a document, and at least one")


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """The model is in evaluation mode during the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
