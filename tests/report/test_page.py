"""The page: complete in itself, escaped, the same bytes for the same results; its sections."""

import re

import pytest

from pipeline.registry import SECTIONS
from pipeline.report.page import level
from pipeline.report.render import svg
from pipeline.report.section import Figure, Section, files, templates
from pipeline.store.digest import SOURCE_ROOT
from tests.report.reading import (
    FIGURES,
    TABLES,
    Reader,
    page_of,
    results_of,
    section_of,
    table_rows,
    words,
)

#: Figures of two sections.
FIGURES_SWAPPED = ("accuracy-lost", "accuracy-lost-by-task")
HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=y>"


def test_the_finding_comes_first_then_the_figure(parts):
    text = words(page_of(parts))
    places = [text.index(s) for s in (*parts["sentences"], "accuracy-lost", "What to know")]
    assert places == sorted(places)


def test_every_element_is_closed(parts):
    assert Reader(page_of(parts)).open == []


def test_figures_go_in_as_they_are(parts, measured):
    text = page_of(parts | measured)
    drawn = [text.count(figure) for figure in FIGURES.values()]
    # A section whose table the invented results lack is left out.
    assert set(drawn) <= {0, 1} and sum(drawn) >= 9


def test_the_page_tells_of_no_slope_no_exponent_and_no_bootstrap_of_answers(parts):
    text = words(page_of(parts)).lower()
    assert not re.search(r"slope|exponent|per standard deviation", text)
    assert "95% intervals, each on its own" in text
    assert text.count("resamples") == 1 and "of texts: a paired bootstrap, 2,000 resamples" in text


def test_the_page_asks_for_nothing(parts):
    text = page_of(parts)
    for tag, attributes in Reader(text).elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "embed", "base"}
        assert not {"src", "href", "srcset", "action", "data"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"@import|url\(|https?:", text)


def hostile_model(parts):
    for row in (
        *parts["curves"], *parts["perplexity"], *parts["correlations"], *parts["refused"],
        *parts["classifications"], *parts["removals"],
    ):  # fmt: skip
        row["model"] = HOSTILE
    for key in ("models", "dense", "contrasts", "decomposition"):
        for row in parts["finding"][key]:
            row["model"] = HOSTILE
    for row in parts["models"]:
        row.update(name=HOSTILE, architecture=HOSTILE, activation=HOSTILE, source=HOSTILE)


def hostile_words(parts):
    parts["sentences"] = [HOSTILE, HOSTILE]
    parts["refused"][0].update(reason=HOSTILE, method=HOSTILE, level=HOSTILE)
    parts["study"] = HOSTILE


def hostile_tasks(parts):
    for row in (*parts["curves"], *parts["removals"]):
        row.update(task=HOSTILE, method=HOSTILE, level=HOSTILE)
    for row in parts["finding"]["dense"]:
        row["task"] = HOSTILE
    for row in parts["finding"]["contrasts"]:
        row["first"] = row["second"] = {
            "method": HOSTILE, "level": HOSTILE, "neuron_sparsity": 0.1
        }  # fmt: skip
    parts["corpora"] = {HOSTILE: {**next(iter(parts["corpora"].values())), "allowed": True}}


@pytest.mark.parametrize("poison", [hostile_model, hostile_words, hostile_tasks])
def test_text_from_models_and_data_is_escaped(poison, parts):
    plain = [tag for tag, _ in Reader(page_of(parts)).elements]
    poison(parts)
    text = page_of(parts)
    assert "<script" not in text and "<img" not in text
    assert "&lt;script&gt;" in text
    assert HOSTILE in Reader(text).text
    assert {tag for tag, _ in Reader(text).elements} <= set(plain) | {"div", "strong", "p"}


def test_equal_results_give_equal_bytes(parts):
    assert page_of(parts) == page_of(parts)


def test_only_refused_conditions_make_a_page(parts):
    parts["curves"] = parts["perplexity"] = parts["removals"] = parts["correlations"] = []
    parts["finding"].update(contrasts=[], dense=[], decomposition=[])
    text = words(page_of(parts))
    assert "No condition was evaluated." in text
    assert "0 pruned conditions of 2 models evaluated; 1 refused." in text
    assert parts["refused"][0]["reason"] in text


def test_one_model_makes_a_page(parts):
    for name in ("curves", "perplexity", "removals"):
        parts[name] = [row for row in parts[name] if row["model"] == "ref-reglu"]
    parts["correlations"] = [row for row in parts["correlations"] if row["model"]]
    parts["models"] = parts["models"][:1]
    parts["finding"]["models"] = parts["finding"]["models"][:1]
    parts["refused"] = []
    text = words(page_of(parts))
    assert "6 pruned conditions of 1 model evaluated; 0 refused." in text
    assert "Refused conditions" not in text and "all, pooled" not in text
    assert len(table_rows(page_of(parts), "each layer")[0]) == 3


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("0.25", "25%"),
        ("0.125", "12.5%"),
        ("0", "0"),
        ("cold", "cold set"),
        ("whole", "–"),
        ("other", "other"),
    ],
)
def test_level(given, shown):
    assert level(given) == shown


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_closed_shows_its_figures_and_is_the_same_each_time(name, parts, measured):
    parts |= {table: [*parts[table], *rows] for table, rows in measured.items()}
    found = section_of(name, parts)
    assert Reader(found).open == []
    for figure in SECTIONS.load(name).figures:
        assert not found or found.count(FIGURES[figure.name]) == 1
    assert section_of(name, parts) == found


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_is_made_of_a_study_in_which_nothing_was_evaluated(name, parts):
    parts.update(dict.fromkeys(TABLES, []))
    parts["finding"].update(contrasts=[], dense=[], decomposition=[])
    assert Reader(section_of(name, parts)).open == []
    for figure in SECTIONS.load(name).figures:
        assert svg(figure.draw(results_of(parts))).startswith("<svg")


def test_every_figure_has_files_of_its_own():
    assert len(set(files())) == len(files())
    assert {"accuracy-lost.svg", "accuracy-lost.vl.json"} <= set(files())


def test_the_page_has_its_sections_in_the_order_of_the_registry(parts, monkeypatch):
    first, second = (
        Section((Figure(name, lambda results: {}),), lambda results: {"at_chance": []})
        for name in FIGURES_SWAPPED
    )
    for order in ({"tasks": second, "accuracy_lost": first}, {"accuracy_lost": first}):
        monkeypatch.setattr("pipeline.report.page.registered", lambda order=order: order)
        text = page_of(parts)
        found = [one.figures[0].name for one in order.values()]
        assert re.findall(r'<svg class="([^"]*)">', text) == found


def test_every_template_is_a_sections_or_shared():
    there = set((SOURCE_ROOT / "pipeline" / "report").rglob("*.j2"))
    assert {path.name for path in there - set(templates())} == {"speed.html.j2"}
    assert set(templates()) <= there
