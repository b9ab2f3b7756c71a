"""What is refused before any job: parts, levels, corpora and tasks that do not go together."""

from collections.abc import Collection, Iterable
from typing import Any

from pipeline.config.calibration import Corpus
from pipeline.config.classification import Classification
from pipeline.config.level import COLD, HOT, PART, SHARE, WHOLE, Level
from pipeline.config.methods import Method
from pipeline.config.study import StudyConfig
from pipeline.errors import UserError, at, unknown_name
from pipeline.methods.plan import Refused
from pipeline.methods.weights.patterns import CHANNELS, pattern_share
from pipeline.models import conversion
from pipeline.models import folder as model_folder
from pipeline.models import source as model_source
from pipeline.planning.conditions import Conditions, part_class
from pipeline.planning.identities import Identities, corpus_identity
from pipeline.registry import CORPORA, PARTS, POLICIES
from pipeline.tasks import task as tasks


def check(study: Identities) -> None:
    """Raise UserError, with the key, for whatever makes the study impossible."""
    config = study.config
    for name, method in config.methods.items():
        with at(f"methods.{name}"):
            check_method(method, config.calibration)
    for name in config.methods:
        with at(f"methods.{name}.sparsifier"):
            _check_match(study, name)
    with at("analysis.activity_corpus"):
        if study.activity_corpus not in config.calibration:
            raise UserError(unknown_name("corpus", study.activity_corpus, config.calibration))
    ranked_on = {method.corpus for method in config.methods.values()}
    for name, section in config.classification.items():
        with at(f"classification.{name}"):
            check_classification(section, config.calibration, ranked_on)
    for name, model in config.models.items():
        with at(f"models.{name}.source"):
            if model.converted:
                conversion.check(name, model)
            elif model.kind != "hub":
                model_folder.check(name, model, model_source.local_folder(model))
            study.model_key(name)
    for name, corpus in config.calibration.items():
        with at(f"calibration.{name}.source"):
            corpus_identity(corpus)
        with at(f"calibration.{name}"):
            check_corpus(corpus)
    _check_tasks(config)


def check_corpus(corpus: Corpus) -> None:
    """Raise UserError for a corpus that no job could read."""
    kind, _, where = corpus.source.partition(":")
    CORPORA.load(kind).check(where, corpus)


def _check_tasks(config: StudyConfig) -> None:
    with at("evaluation.tasks"):
        chosen = [tasks.find(name) for name in config.evaluation.tasks]
        for task in chosen:
            task.check()
    names = [task.name for task in chosen]
    if "reasoning" in names or len(set(names)) < len(names):
        raise UserError(
            f"evaluation.tasks: the tasks are named {names}; names must differ, and "
            "`reasoning` stands for the mean of the reasoning tasks"
        )


def _check_match(study: Conditions, method: str) -> None:
    """Refuse a `match` to a method that does not remove a number of neurons of each layer at the
    same levels."""
    if (followed := study.matched_to(method)) is None:
        return
    methods = study.config.methods
    if followed not in methods:
        raise UserError("match: " + unknown_name("method", followed, methods))
    other, section = methods[followed], methods[method]
    if not study.by_tables(followed) or part_class("sparsifier", other).part:
        raise UserError(
            f"match: {followed} does not remove neurons one by one in an order; "
            "name a method that does"
        )
    if study.matched_to(followed):
        raise UserError(f"match: {followed} is itself matched to another method; name that one")
    if not study.by_tables(method):
        raise UserError("match: give it in a method that has a sparsifier alone and no measure")
    if other.scope != section.scope:
        raise UserError(
            f"match: {followed} has scope {other.scope}, this method {section.scope}; give both "
            "the same"
        )
    if other.sparse_from != section.sparse_from:
        raise UserError(
            f"match: {followed} removes from {other.sparse_from} on, this method from "
            f"{section.sparse_from} on; give both the same sparse_from"
        )
    if missing := [level.text for level in section.levels if level not in other.levels]:
        raise UserError(
            f"match: {followed} has no level {', '.join(missing)}; add it there, or remove it here"
        )


def check_classification(
    section: Classification, corpora: Collection[str], ranked_on: Collection[str]
) -> None:
    """Refuse options that are missing or that the policy has no use for; `corpora` are all that it
    could name, `ranked_on` those that methods rank neurons on."""
    policy = POLICIES.load(section.policy)
    given = {name for name in ("share", "other", "rise") if getattr(section, name) is not None}
    for name in sorted(policy.options - given):
        raise UserError(f"{name}: {section.policy} needs it; give it a value")
    for name in sorted(given - policy.options):
        taken = ", ".join(sorted(policy.options))
        raise UserError(f"{name}: {section.policy} has no use for it; it takes {taken}")
    if section.other and section.other not in corpora:
        raise UserError("other: " + unknown_name("corpus", section.other, corpora))
    if "rise" in policy.options:
        if section.other in ranked_on:
            raise UserError(
                f"other: methods rank neurons on {section.other!r}; name a corpus that is held out"
            )
        if section.scope != "model":
            raise UserError("scope: `rise` is about the whole model's perplexity; give model")


def check_method(method: Method, corpora: Collection[str]) -> None:
    """Refuse what the parts have no use for, and levels, seeds and corpora that do not fit them;
    `corpora` are all that the options could name."""
    if not method.parts:
        raise UserError(f"a method needs at least one part; give one of {', '.join(PARTS)}")
    entries = {kind: part_class(kind, method) for kind in method.parts}
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
            if named is not None and named not in corpora:
                raise UserError(f"{kind}.{option}: " + unknown_name("corpus", named, corpora))
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
            "weights.share: with a sparsifier the levels are the sparsifier's, so say here which "
            "share of the weights is removed"
        )
    if method.compensation is not None:
        try:
            entries["compensation"]().check(method.parts)
        except Refused as reason:
            raise UserError(f"compensation: {reason}") from None
    if method.compensation is not None and method.sparse_from != "start":
        raise UserError(
            f"sparse_from: {method.compensation.name} becomes a bias, which is added at every "
            "token; give start"
        )


def _check_pattern(method: Method) -> None:
    """Refuse a share that a pattern of zeros does not have."""
    options = method.weights.options
    if options["pattern"] == CHANNELS or (own := pattern_share(options["pattern"])) is None:
        return
    asked = _values(method.levels) if options["share"] is None else [options["share"]]
    if method.sparsifier is None and asked != [own] or options["share"] not in (None, own):
        raise UserError(
            f"{'levels' if options['share'] is None else 'weights.share'}: the pattern "
            f"{options['pattern']} removes {own} of the weights; given {asked}"
        )


def _check_without_sparsifier(method: Method) -> None:
    unused = {"measure": None, "classification": None, "sparse_from": "start", "scope": "layer"}
    for key, plain in unused.items():
        if getattr(method, key) != plain:
            raise UserError(f"{key}: without a sparsifier it has no use; give {plain or 'null'}")
    if method.weights is None:
        if method.levels != (WHOLE,):
            raise UserError(
                f"levels: this method has none, so give [{WHOLE.text}]; given "
                f"{_values(method.levels)}"
            )
        return
    if method.weights.options["share"] is not None:
        raise UserError(
            "weights.share: without a sparsifier the levels are the shares of weights removed; "
            "leave it out"
        )
    wrong = [level for level in method.levels if level.kind != SHARE]
    if wrong:
        raise UserError(
            f"levels: {method.weights.name} removes a share of the weights, a number between 0 and "
            f"1; given {_values(wrong)}"
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
    wrong = [n for n in method.levels if n.kind != PART or not first <= n.part <= last]
    if wrong:
        raise UserError(
            f"levels: {method.sparsifier.name} removes one {sparsifier.part} at a time, so a level "
            f"is its whole number, from {first}"
            f"{f' to {last:g}' if last < float('inf') else ''}; given {_values(wrong)}"
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
    sets = (COLD, HOT) if sparsifier.static and method.measure is None else ()
    wrong = [level for level in method.levels if level.kind != SHARE and level not in sets]
    if wrong and sets:
        raise UserError(
            f"levels: {name} removes a share of the neurons, so a level is a number between 0 and "
            f"1, 'cold' or 'hot'; given {_values(wrong)}"
        )
    if wrong:
        raise UserError(
            f"levels: a level of {name} is a number between 0 and 1; given {_values(wrong)}"
        )


def _values(levels: Iterable[Level]) -> list[float | int | str]:
    """Levels as a configuration writes them."""
    return [level.value for level in levels]


def _needs_classification(method: Method) -> None:
    if method.classification is None:
        raise UserError(
            f"classification: {method.sparsifier.name} needs one; name one of the configuration's"
        )
