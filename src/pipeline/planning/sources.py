"""What decides a rerun besides configuration and inputs: code, entries, data, library versions."""

from functools import cache
from typing import Any

from pipeline.models import conversion, gguf
from pipeline.models import source as model_source
from pipeline.planning.identities import Identities
from pipeline.planning.stages import STAGES
from pipeline.registry import (
    ANALYSES,
    ARCHITECTURES,
    CORPORA,
    FAMILIES,
    PARTS,
    POLICIES,
    SECTIONS,
    Registry,
)
from pipeline.report.section import templates
from pipeline.store import closures, digest

PROJECT = digest.SOURCE_ROOT.parent

Source = dict[str, Any]

#: Rules whose results depend on a whole registry.
_OF_REGISTRY: dict[str, Registry] = {"analyse": ANALYSES, "build_report": SECTIONS}
_NONE = Registry("entry", {})

#: Rule that belongs to no study -> (its file in `rules/`, libraries that can change its result).
_APART: dict[str, tuple[str, tuple[str, ...]]] = {
    "generate_tasks": ("reference", ()),
    "train_reference": ("reference", ("torch", "transformers", "numpy")),
    "ship_reference": ("reference", ("torch", "transformers", "lm_eval", "polars")),
}
#: Every rule -> its file in `rules/` and such libraries.
RULES = {
    **{rule: (stage.rules_file, stage.libraries) for rule, stage in STAGES.items()},
    **_APART,
}


@cache
def rule_source(rule: str, entries: tuple[str, ...] = (), data: tuple[str, ...] = ()) -> Source:
    """What a rule's result rests on besides configuration and inputs: `digest`, of the rule's text,
    its outputs, its script's source closure, named registry entries with theirs, data and
    libraries; and `libraries`, their versions."""
    rules_file, libraries = RULES[rule]
    script = PROJECT / "workflow" / "scripts" / f"{rule}.py"
    modules = {entry.partition("=")[2].partition(":")[0] for entry in entries}
    versions = dict(closures.versions(*libraries))
    outputs = STAGES[rule].outputs if rule in STAGES else {}
    value = digest.of_value(
        {
            "rule": closures.rule_text(PROJECT / "rules" / f"{rules_file}.smk", rule),
            "outputs": {name: output.file for name, output in outputs.items()},
            "source": closures.source_closure(str(script), *sorted(modules)),
            "entries": sorted(entries),
            "data": list(data),
            "versions": versions,
            "template": _template() if rule == "build_report" else None,
        }
    )
    return {"digest": value, "libraries": versions}


def source_of(
    study: Identities,
    rule: str,
    *,
    model: str = "",
    corpus: str = "",
    method: str = "",
    classification: str = "",
) -> Source:
    """Digest of the code, entries, data and library versions behind one job.

    Raises ValueError where the arguments are not those that the job's stage says it reads, since an
    omission on either side would keep outdated results.
    """
    about = {"model": model, "corpus": corpus, "method": method, "classification": classification}
    reads = STAGES[rule].reads
    if {name for name, value in about.items() if value} != reads - {"tasks"}:
        raise ValueError(f"rule {rule} is of {about}, and its stage reads {sorted(reads)}")
    registry = _OF_REGISTRY.get(rule, _NONE)
    entries = [_entry(registry, name) for name in registry]
    if corpus:
        kind = study.config.calibration[corpus].source.partition(":")[0]
        entries.append(_entry(CORPORA, kind))
    policy = study.config.classification[classification].policy if classification else ""
    if policy:
        entries.append(_entry(POLICIES, policy))
    # Only a policy that measures a loss runs the model.
    if model and (not policy or study.needs(policy) == "sequences"):
        entries += _views(study, model)
    if method:
        parts = study.config.methods[method].parts
        if rule == "prepare":
            parts = study.preparing(method)["parts"]
        entries += [_entry(PARTS[kind], part["name"]) for kind, part in parts.items()]
    # The order of a registry's entries counts as well.
    data = [*registry, *(study.task_identities if "tasks" in reads else ())]
    return rule_source(rule, tuple(entries), tuple(data))


def _views(study: Identities, model: str) -> list[str]:
    """The view a model uses; all of them for a model that is known only after its download."""
    section = study.config.models[model]
    if section.kind in ("hub", "package"):
        return list(view_entries())
    if section.kind == "gguf":
        header = conversion.header(section)
        return [_entry(ARCHITECTURES, gguf.architecture(model, header))] if header else []
    settings = model_source.settings(model_source.local_folder(section))
    classes = [name for name in settings.get("architectures") or [] if name in ARCHITECTURES]
    return [_entry(ARCHITECTURES, name) for name in classes]


def family_entries() -> tuple[str, ...]:
    """Registry entries of all task families of the built-in language."""
    return tuple(sorted(_entry(FAMILIES, name) for name in FAMILIES))


def view_entries() -> tuple[str, ...]:
    """Registry entries of all FFN views."""
    return tuple(sorted(_entry(ARCHITECTURES, name) for name in ARCHITECTURES))


def card_entries() -> tuple[str, ...]:
    """Registry entries of what measures a built-in model for its card, besides its view."""
    return (_entry(CORPORA, "builtin"), _entry(POLICIES, "coverage"))


def _template() -> str:
    return digest.of_files(digest.SOURCE_ROOT, templates())


def _entry(registry: Registry, name: str) -> str:
    """`name=module:object` of a registered name, since an object may mean something else under
    another name."""
    return f"{name}={registry[registry.check(name)]}"
