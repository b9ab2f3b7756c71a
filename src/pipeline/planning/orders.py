"""The orders in which methods remove neurons, and which of them answer the study's question."""

from typing import Any

from pipeline.config.level import Level
from pipeline.config.roles import COLDEST, RANDOM
from pipeline.planning.conditions import Conditions


def orders(study: Conditions) -> list[dict[str, Any]]:
    """How the methods that only remove neurons do so: the fields of config.orders.Order."""
    return [
        {
            "method": name,
            "order": study.order(name),
            "scope": section.scope,
            "corpus": section.corpus,
            "match": study.matched_to(name),
            "among": section.sparsifier.options.get("among", "all"),
            "classification": section.classification,
            "sparse_from": section.sparse_from,
        }
        for name, section in study.config.methods.items()
        if study.arm(name)
    ]


def by_steps(study: Conditions) -> list[str]:
    """Methods whose answers are shown by number of steps, at the reference level: the first that
    removes the coldest of every layer, and its matched control."""
    level = Level(study.config.analysis.reference_level)
    at_level = [
        order
        for order in orders(study)
        if order["scope"] == "layer"
        and order["among"] == "all"
        and level in study.config.methods[order["method"]].levels
    ]
    coldest = next((o for o in at_level if o["order"] == COLDEST), None)
    if coldest is None:
        return []
    drawn = [
        order["method"]
        for order in at_level
        if order["order"] == RANDOM
        and order["match"] in (None, coldest["method"])
        and order["sparse_from"] == coldest["sparse_from"]
    ]
    return [coldest["method"], *drawn[:1]]


def notes(study: Conditions) -> list[str]:
    """Notes on what can be computed but was perhaps not intended."""
    asked = [(order["order"], order["scope"]) for order in orders(study)]
    if (COLDEST, "layer") not in asked or len(by_steps(study)) == 2:
        return []
    level = study.config.analysis.reference_level
    return [
        f"analysis.reference_level: no method that removes the coldest neurons of every layer has "
        f"level {level} beside one that draws as many at random, so the finding will not say "
        "whether coldness matters; give both that level, or name one that both have"
    ]
