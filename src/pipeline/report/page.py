"""The report's page: one HTML file with figures, tables and definitions, complete in itself.

All text from models, data and configuration is escaped; only the figures, which are rendered here,
go in as they are.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import Manifest
from pipeline.config.methods import WHOLE
from pipeline.numbers import NOTHING, count, number, p_value, percent, points, span
from pipeline.registry import PARTS
from pipeline.report.compared import MEASURES, compared
from pipeline.report.published import SPREADS, TOP_FIFTH_SHARED
from pipeline.report.render import html
from pipeline.tables.curves import DENSE, NEURONS_REMOVED, REASONING, is_part

Row = Mapping[str, Any]
Rows = Sequence[Row]

_TEMPLATE = "template.html.j2"
#: What methods are compared at, as people read it.
_COMPARED = {NEURONS_REMOVED: "FFN neurons removed", **MEASURES}
#: What neurons that are removed for good are ranked among.
_SCOPES = {"layer": "each layer", "model": "the whole model"}


def page(
    *,
    study: str,
    curves: Rows,
    perplexity: Rows,
    correlations: Rows,
    removals: Rows,
    refused: Rows,
    finding: Mapping[str, Any],
    corpora: Mapping[str, Row],
    models: Rows,
    classifications: Rows,
    methods: Rows,
    libraries: Mapping[str, str],
    manifest: Manifest,
    main_figure: str,
    task_figure: str,
    part_figure: str,
    steps_figure: str,
    compared_figure: str,
    sparsity_figure: str,
    lorenz_figure: str,
    frequency_figure: str,
    overlap_figure: str,
    spreads: Rows,
) -> str:
    """The page as HTML text; equal input gives equal text.

    `curves`, `perplexity` and `refused` are rows of tables.curves, `correlations` those of
    tables.correlations, `removals` those of tables.removals, `finding` the body of FINDING,
    `corpora` the bodies of CORPUS by a name for each, `models` the bodies of MODEL,
    `classifications` those of CLASSIFICATION with model, corpus and name, `methods` what
    Study.methods tells, `spreads` those of neurons.Profiles.spreads, `libraries` the versions of
    what computed the results. The figures are SVG text.
    """
    from markupsafe import Markup

    named_models = [row["model"] for row in finding["models"]]
    filters = {
        "percent": percent,
        "points": points,
        "count": count,
        "level": level,
        "span": span,
        "number": number,
        "p_value": p_value,
    }
    return html(
        _TEMPLATE,
        filters,
        study=study,
        facts=facts(curves, perplexity, refused, finding),
        finding=finding,
        dense=[row for row in finding["dense"] if row["steps"] is None],
        by_steps=[row for row in finding["dense"] if row["steps"] is not None],
        contrasts=[{**row, "reading": reading(row)} for row in finding["contrasts"]],
        tasks=by_task(curves, [row["model"] for row in finding["models"]]),
        answers=answers(curves, finding["models"]),
        perplexity=[row for row in perplexity if row["method"] != DENSE],
        relations=relations(correlations),
        removed=removed(removals, named_models),
        parts=split(finding["decomposition"], named_models),
        refused=refused,
        corpora=corpora,
        models=with_profile(models, finding["models"]),
        classifications=classifications,
        methods=[in_words(row) for row in methods],
        libraries=libraries,
        manifest=manifest,
        main_figure=Markup(main_figure),
        task_figure=Markup(task_figure),
        part_figure=Markup(part_figure),
        steps_figure=Markup(steps_figure),
        compared_figure=Markup(compared_figure),
        comparisons=compared(curves, perplexity, named_models),
        compared_models=named_models,
        sparsity_figure=Markup(sparsity_figure),
        lorenz_figure=Markup(lorenz_figure),
        frequency_figure=Markup(frequency_figure),
        overlap_figure=Markup(overlap_figure),
        spreads=spreads,
        published=SPREADS,
        top_fifth_shared=TOP_FIFTH_SHARED,
    )


def in_words(method: Row) -> dict[str, Any]:
    """A method of the configuration as the page names it: its parts with the options that it has,
    a dash for a part that it lacks."""

    def words(part: Row | None) -> str:
        if part is None:
            return NOTHING
        options = [f"{key} {value}" for key, value in part["options"].items() if value is not None]
        return f"{part['name']} ({', '.join(options)})" if options else str(part["name"])

    measure = _COMPARED.get(method["measure"], "its own")
    scope = _SCOPES.get(method["scope"], NOTHING)
    parts = [words(method["parts"].get(kind)) for kind in PARTS]
    return {**method, "parts": parts, "measure": measure, "scope": scope}


def named(path: Path) -> dict[str, str]:
    """Model, corpus and classification that the path of a classification.json names."""
    return dict(zip(("model", "corpus", "classification"), path.parts[-4:-1], strict=True))


def facts(curves: Rows, perplexity: Rows, refused: Rows, finding: Mapping[str, Any]) -> list[str]:
    """Short sentences on what was measured and how the models stood before pruning."""
    pruned = [row for row in (*curves, *perplexity) if row["method"] != DENSE]
    models = {row["model"] for row in finding["models"]}
    conditions = {(row["model"], row["method"], row["level"]): row["seeds"] for row in pruned}
    found = [
        f"{_several(len(conditions), 'pruned condition')} of {_several(len(models), 'model')} "
        f"evaluated; {count(len(refused))} refused. Seeds of a condition are pooled: "
        f"{_several(sum(conditions.values()), 'pruned model')} in all."
    ]
    for row in finding["models"]:
        found.append(
            f"{row['model']}: {percent(1 - row['natural_sparsity'])} of its FFN neurons are active "
            f"at a token, on average. Its hot set, {percent(row['hot'] / row['neurons'])} of the "
            f"neurons, carries {percent(row['carried'])} of all activations."
        )
    for row in _unique_by_model(curves):
        found.append(
            f"{row['model']}: unpruned, it gets {percent(row['accuracy_dense'])} right, the mean "
            f"of the reasoning tasks; the best constant answers would get {percent(row['chance'])}."
        )
    lost = [row for row in pruned if row.get("accuracy", 1) < row.get("chance", 0)]
    silent = {(r["model"], r["method"], r["level"]) for r in lost if r["task"] == REASONING}
    if silent:
        answered = [row for row in lost if row["task"] == REASONING]
        found.append(
            f"{_several(len(silent), 'condition')} left less than chance on the mean of the "
            f"reasoning tasks{_out_of_form(answered)}; how far below chance such a model lies says "
            "nothing."
        )
    found += _left_out(pruned)
    found.append(
        f"Brackets and bars are {percent(finding['confidence'], 0)} intervals, each on its own: "
        "they are not widened for the number of comparisons."
    )
    return found


def _out_of_form(rows: Rows) -> str:
    """In how many of the answers no answer was found, as a part of a sentence."""
    shares = [row["out_of_form"] for row in rows if row["out_of_form"] is not None]
    if not shares:
        return ""
    low, high = percent(min(shares), 0), percent(max(shares), 0)
    span_of = low if low == high else f"{low} to {high}"
    return f", where {span_of} of the responses hold no answer in the task's form"


def _left_out(rows: Rows) -> list[str]:
    """A sentence for every set of methods and the reasoning tasks that their means leave out."""
    methods: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.get("left_out"):
            methods.setdefault(row["left_out"], {})[row["method"]] = None
    return [
        f"The mean of the reasoning tasks is without {tasks} under {', '.join(names)}: nothing was "
        "imposed at any token of these tasks there. The dense model's mean beside it is of the "
        "same tasks."
        for tasks, names in methods.items()
    ]


def answers(curves: Rows, models: Rows) -> list[dict[str, Any]]:
    """What the whole cold and the whole hot set cost, a row a model and method that removes one."""
    order = {row["model"]: place for place, row in enumerate(models)}
    found = [
        {**row, "sets": "cold" if row["level"] == "cold" else "hot"}
        for row in curves
        if row["task"] == REASONING and row["level"] in ("cold", "hot")
    ]
    return sorted(found, key=lambda row: (order.get(row["model"], 0), row["sets"], row["method"]))


def removed(removals: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """What conditions that remove neurons for good took of the model, a row a model, method and
    level: shares are means over draws, those of a layer the smallest and largest of any draw."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in removals:
        groups.setdefault((row["model"], row["method"], row["level"]), []).append(row)
    found = []
    for (model, method, text), rows in groups.items():
        shared = [row["shared_with_coldest"] for row in rows]
        found.append(
            {
                "model": model,
                "method": method,
                "level": text,
                "draws": len(rows),
                "share": rows[0]["removed"] / rows[0]["neurons"],
                "least": min(row["least_of_a_layer"] for row in rows),
                "most": max(row["most_of_a_layer"] for row in rows),
                "activity": sum(row["activity_removed"] for row in rows) / len(rows),
                "contribution": sum(row["contribution_removed"] for row in rows) / len(rows),
                "shared": None if None in shared else sum(shared) / len(rows),
            }
        )
    place = {name: index for index, name in enumerate(models)}
    return sorted(found, key=lambda row: place.get(row["model"], len(place)))


#: Scopes and parts of the finding's decomposition in words, in the order in which they add up.
_SPLIT = {
    ("layer", "not hot"): "not being hot: random neurons of every layer less random cold ones",
    ("layer", "order of coldness"): "the order of coldness: random cold neurons of every layer "
    "less the coldest",
    ("model", "layers"): "the layers that are cut: random neurons of every layer less as many of "
    "each layer as the coldest of the model",
    ("model", "not hot"): "not being hot: these random neurons less random cold ones of each layer",
    ("model", "order of coldness"): "the order of coldness: these random cold neurons less the "
    "coldest of the model",
}


def split(decomposition: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """What makes the difference between random neurons and the coldest: a row a scope and part, a
    cell a model, None where the study lacks a side of it."""
    known = {(row["scope"], row["part"], row["model"]): row for row in decomposition}
    found = []
    for (scope, part), words in _SPLIT.items():
        cells = [known.get((scope, part, model)) for model in models]
        if any(cells):
            found.append({"scope": scope, "words": words, "cells": cells})
    return found


#: Measures of tables.correlations as the page names them.
_MEASURES = {
    "activity": "activity of the decile",
    "natural_sparsity": "natural sparsity of the layer",
    "activity_removed": "activity removed, within removals of equally many neurons",
    "activity_removed, pooled": "activity removed, all removals (descriptive)",
    "neurons removed, pooled": "neurons removed, all removals (descriptive)",
    "activity_removed given the number": "activity removed given the number, all removals "
    "(descriptive)",
    "neuron_sparsity_imposed": "neurons removed, levels of one method (descriptive)",
}


def relations(correlations: Rows) -> list[dict[str, Any]]:
    """Rank correlations with the measure in words; pooled rows first within a level."""
    levels = ("removal", "neuron", "layer", "condition")
    kept = list(correlations)
    kept.sort(key=lambda row: (levels.index(row["level"]), row["model"] is not None))
    return [{**row, "measure": _MEASURES.get(row["measure"], row["measure"])} for row in kept]


def reading(contrast: Row) -> str:
    """What a contrast says in words; clear only when its interval leaves out zero."""
    if contrast["low"] > 0:
        return "the first costs more"
    if contrast["high"] < 0:
        return "the first costs less"
    return "no clear difference"


def by_task(curves: Rows, models: Sequence[str]) -> list[dict[str, Any]]:
    """Curves grouped for the page: the mean first, then reasoning tasks, then controls.

    Rows of a task stand by model in the given order, dense first, then by method and sparsity.
    """
    place = {name: index for index, name in enumerate(models)}

    def rank(row: Row) -> tuple[Any, ...]:
        model = (place.get(row["model"], len(place)), row["model"])
        method = (row["method"] != DENSE, row["method"])
        return (*model, *method, row["neuron_sparsity_imposed"], row["level"])

    tasks = {row["task"]: row["reasoning"] for row in curves}
    order = sorted(tasks, key=lambda task: (task != REASONING, not tasks[task], task))
    return [
        {
            "title": task_title(task, tasks[task]),
            "rows": sorted((row for row in curves if row["task"] == task), key=rank),
        }
        for task in order
    ]


def task_title(task: str, reasoning: bool) -> str:
    """A task as the page names it."""
    if task == REASONING:
        return "mean of the reasoning tasks"
    return task if reasoning else f"{task} (control)"


def with_profile(models: Rows, profiles: Rows) -> list[dict[str, Any]]:
    """Every resolved model with its row of the finding, or with null for it."""
    known = {row["model"]: row for row in profiles}
    return [{**model, "profile": known.get(model["name"])} for model in models]


def level(text: str) -> str:
    """A configured level: a share as a percentage, or the name of a set."""
    try:
        return text if is_part(text) else f"{100 * float(text):g}%"
    except ValueError:
        return f"{text} set" if text in ("cold", "hot") else NOTHING if text == WHOLE else text


def _several(number_of: int, noun: str) -> str:
    return f"{count(number_of)} {noun}{'' if number_of == 1 else 's'}"


def _unique_by_model(curves: Rows) -> list[Row]:
    first: dict[str, Row] = {}
    for row in curves:
        if (row["task"], row["method"]) == (REASONING, DENSE):
            first.setdefault(row["model"], row)
    return list(first.values())
