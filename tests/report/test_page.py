"""The page: complete in itself, escaped, the same bytes for the same results."""

import importlib.util
import json
import re
from html.parser import HTMLParser

import pytest

from pipeline import digest
from pipeline.digest import SOURCE_ROOT
from pipeline.errors import UserError
from pipeline.report import page as report
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.correlations import CORRELATIONS, STEPS, UNITS
from pipeline.tables.curves import CURVES, PERPLEXITY, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYERS
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED
from pipeline.tables.removals import REMOVALS, REMOVED_BY_LAYER
from pipeline.tables.sequences import CORPUS

FIGURES = {
    "main_figure": '<svg class="main"><text>main</text></svg>',
    "task_figure": '<svg class="tasks"><text>tasks</text></svg>',
    "part_figure": '<svg class="parts"><text>parts</text></svg>',
    "steps_figure": '<svg class="steps"><text>steps</text></svg>',
    "compared_figure": '<svg class="compared"></svg>',
    "sparsity_figure": '<svg class="sparsity"></svg>',
    "lorenz_figure": '<svg class="lorenz"></svg>',
    "frequency_figure": '<svg class="frequency"></svg>',
    "overlap_figure": '<svg class="overlap"></svg>',
}
METHODS = [
    {
        "name": "drop_cold", "parts": {"sparsifier": {"name": "drop_cold", "options": {}}},
        "corpus": "reasoning", "measure": "neurons_removed", "sparse_from": "start",
        "scope": "layer",
    },
    {
        "name": "as_model",
        "parts": {"sparsifier": {"name": "drop_random", "options": {"match": "cold_of_model"}}},
        "corpus": "reasoning", "measure": "neurons_removed", "sparse_from": "start",
        "scope": "model",
    },
    {
        "name": "both",
        "parts": {
            "weights": {"name": "wanda", "options": {"pattern": "2:4", "share": None}},
            "quantization": {"name": "int4", "options": {"group": 32}},
        },
        "corpus": "prose", "measure": None, "sparse_from": "start", "scope": None,
    },
]  # fmt: skip
VOID = {"meta", "link", "br", "hr", "img", "input"}
HOSTILE = "<script>alert('x')</script>&\"<img src=x onerror=y>"


class Reader(HTMLParser):
    """Elements with their attributes, text, and whether every element is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.fixture
def parts(
    curves,
    perplexity,
    correlations,
    units,
    steps,
    removals,
    removed_by_layer,
    refused,
    finding,
    corpora,
    models,
    classifications,
    profiles,
    manifest,
):
    """Keywords of `page`, to be changed by a test."""
    return {
        "study": "small",
        "curves": curves,
        "perplexity": perplexity,
        "correlations": correlations,
        "units": units,
        "steps": steps,
        "removals": removals,
        "removed_by_layer": removed_by_layer,
        "refused": refused,
        "finding": finding,
        "corpora": corpora,
        "models": models,
        "classifications": classifications,
        "profiles": profiles,
        "methods": METHODS,
        "libraries": {"torch": "2.13.0"},
        "manifest": manifest,
        **FIGURES,
    }


def page(parts):
    """The page of the parts; some are in a figure or in a table alone."""
    apart = ("units", "steps", "removed_by_layer", "profiles")
    named = {name: part for name, part in parts.items() if name not in apart}
    return report.page(**named, spreads=parts["profiles"].spreads())


def words(parts):
    """The page's text with white space run together."""
    return " ".join(Reader(page(parts)).text.split())


def table_rows(parts, *starts):
    """Cells of the rows whose first cells are `starts`."""
    rows = re.findall(r"<tr>(.*?)</tr>", page(parts), re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [row for row in cells if row[: len(starts)] == list(starts)]


def test_the_finding_comes_first_then_the_figure(parts):
    text = words(parts)
    places = [text.index(s) for s in (*parts["finding"]["sentences"], "main", "What to know")]
    assert places == sorted(places)


def test_every_element_is_closed(parts):
    assert Reader(page(parts)).open == []


def test_figures_go_in_as_they_are(parts, measured):
    text = page(parts | measured)
    assert all(text.count(figure) == 1 for figure in FIGURES.values())


@pytest.fixture
def measured(make_curve, perplexity):
    """Two methods that were asked for an achieved measure, one of them on one model only."""
    asked = {
        "measure": "model_weight_sparsity",
        "level": "0.5",
        "model_weight_sparsity_total": 0.507,
    }
    places = [("ref-reglu", "teal", 0.2), ("ref-swiglu", "teal", 0.1), ("ref-swiglu", "wina", 0.3)]
    rows = [
        make_curve(m, name, loss=loss, loss_low=loss - 0.01, loss_high=loss + 0.02, **asked)
        for m, name, loss in places
    ]
    texts = [
        {**perplexity[0], "model": m, "method": n, "level": "0.5", "measure": asked["measure"],
         "model_weight_sparsity_total": 0.5,
         "loss": loss}
        for m, n, loss in places
    ]  # fmt: skip
    return {"curves": rows, "perplexity": texts}


def test_methods_at_one_achieved_level_stand_side_by_side(parts, measured):
    measured["perplexity"][2]["loss"] = 0.25
    (teal,) = table_rows(parts | measured, "teal", "20.0")
    (wina,) = table_rows(parts | measured, "wina")
    assert teal[1:3] + teal[4:5] == ["20.0", "[19.0, 22.0]", "50.7%"]
    assert teal[5] == "10.0"
    # One that a model lacks comes last, with a dash for it.
    assert wina == ["wina", "–", "", "", "", "30.0", "[29.0, 32.0]", "0.25", "50.7%"]
    text = words(parts | measured)
    assert "50% of the weights of the blocks' linear layers not read" in text


def test_what_a_methods_name_stands_for(parts):
    (cold,) = table_rows(parts, "drop_cold", "–", "–", "drop_cold")
    (both,) = table_rows(parts, "both")
    assert cold[4:] == ["–", "reasoning", "each layer", "FFN neurons removed", "start"]
    assert both[1:] == [
        "wanda (pattern 2:4)", "int4 (group 32)", "–", "–", "prose", "–", "its own", "start"
    ]  # fmt: skip


def test_every_arm_tells_what_its_neurons_are_ranked_among_and_matched_to(parts):
    (drawn,) = table_rows(parts, "as_model")
    assert drawn[3] == "drop_random (match cold_of_model)"
    assert drawn[6] == "the whole model"
    assert "Ranked among" in words(parts)


def test_what_makes_the_difference_stands_below_the_sentences_a_column_a_model(parts):
    rows = table_rows(parts, "each layer") + table_rows(parts, "the whole model")
    assert [row[1].split(":")[0] for row in rows] == [
        "not being hot", "the order of coldness", "the layers that are cut", "not being hot",
        "the order of coldness",
    ]  # fmt: skip
    assert [row[2:] for row in rows] == [
        ["25.0 [23.0, 27.0]"] * 2,
        ["5.0 [3.0, 7.0]"] * 2,
        ["−11.0 [−13.0, −9.0]"] * 2,
        ["13.0 [11.0, 15.0]"] * 2,
        ["17.0 [15.0, 19.0]", "–"],
    ]
    text = page(parts)
    head = "".join(f"<th>{model}</th>" for model in ("ref-reglu", "ref-swiglu"))
    assert f'<th class="text">Part of the difference</th>{head}</tr>' in text
    assert "Where 10% of the neurons are removed" in words(parts)
    assert text.index("Part of the difference") < text.index("What to know")


def test_parts_that_no_model_has_are_no_rows(parts):
    own = [row for row in parts["finding"]["decomposition"] if row["scope"] == "layer"]
    parts["finding"]["decomposition"] = own
    assert len(table_rows(parts, "each layer")) == 2
    assert table_rows(parts, "the whole model") == []
    parts["finding"]["decomposition"] = []
    assert "Part of the difference" not in words(parts)


def test_what_each_removal_took_is_the_mean_over_its_draws(parts):
    (cold,) = table_rows(parts, "ref-reglu", "drop_cold", "10%", "1")
    assert cold[4:] == ["10.0%", "10.0%", "10.0%", "2.0%", "3.0%", "–"]
    (drawn,) = table_rows(parts, "ref-reglu", "drop_random", "10%", "5")
    # Means of 2 to 6, 3 to 7 and 10 to 50 percent; of a layer the least and most of any draw.
    assert drawn[4:] == ["10.0%", "6.0%", "18.0%", "4.0%", "5.0%", "30.0%"]
    assert table_rows(parts, "ref-swiglu", "drop_random", "10%", "5")
    parts["removals"] = []
    assert "What each removal took" not in words(parts)


def test_removals_stand_by_model_in_the_findings_order(removals):
    found = report.removed(removals, ["ref-swiglu", "ref-reglu"])
    assert [(row["model"], row["method"]) for row in found] == [
        ("ref-swiglu", "drop_cold"), ("ref-swiglu", "drop_random"),
        ("ref-reglu", "drop_cold"), ("ref-reglu", "drop_random"),
    ]  # fmt: skip


def test_the_page_tells_of_no_slope_no_exponent_and_no_bootstrap_of_answers(parts):
    text = words(parts).lower()
    assert not re.search(r"slope|exponent|per standard deviation", text)
    assert "95% intervals, each on its own" in text
    assert text.count("resamples") == 1 and "of texts: a paired bootstrap, 2,000 resamples" in text


def test_without_an_achieved_measure_nothing_is_compared(parts):
    assert "No method of this study was asked for an achieved measure." in words(parts)


def test_the_page_asks_for_nothing(parts):
    text = page(parts)
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
    parts["finding"]["sentences"] = [HOSTILE, HOSTILE]
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
    plain = [tag for tag, _ in Reader(page(parts)).elements]
    poison(parts)
    text = page(parts)
    assert "<script" not in text and "<img" not in text
    assert "&lt;script&gt;" in text
    assert HOSTILE in Reader(text).text
    assert {tag for tag, _ in Reader(text).elements} <= set(plain) | {"div", "strong", "p"}


def test_equal_results_give_equal_bytes(parts):
    assert page(parts) == page(parts)


def test_a_condition_shows_its_figures(parts, make_curve):
    parts["curves"] = [make_curve(level="cold")]
    (row,) = table_rows(parts, "ref-reglu", "drop_cold", "cold set")
    assert row[3:] == [
        *("62.0%", "62.0%", "37.2%"),
        *("12.4", "[9.4, 16.4]"),
        *("75.1%", "87.5%", "25.0%"),
        *("19.8", "[15.0, 26.2]"),
        *("81.0%", "81.0%", "48.6%"),
        *("15.5%", "12.4%"),
        *("1", "400", "15.5%", "0"),
    ]


def test_a_null_corrected_loss_is_a_dash(parts, make_curve):
    nulls = dict.fromkeys(("corrected_loss", "corrected_low", "corrected_high"))
    parts.update(curves=[make_curve(**nulls)], removals=[])
    (row,) = table_rows(parts, "ref-reglu", "drop_cold", "10%")
    assert row[11:13] == ["–", "–"]
    assert "None" not in words(parts)


def test_refused_conditions_are_told_with_their_reason(parts):
    (row,) = table_rows(parts, "ref-swiglu", "keep_cold", "50%", "0")
    assert row[4] == parts["refused"][0]["reason"]


def test_only_refused_conditions_make_a_page(parts):
    parts["curves"] = parts["perplexity"] = parts["removals"] = parts["correlations"] = []
    parts["finding"].update(contrasts=[], dense=[], decomposition=[])
    text = words(parts)
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
    text = words(parts)
    assert "6 pruned conditions of 1 model evaluated; 0 refused." in text
    assert "Refused conditions" not in text and "all, pooled" not in text
    assert len(table_rows(parts, "each layer")[0]) == 3


def test_conditions_that_were_asked_for_texts_alone_count(parts):
    parts["curves"] = []
    assert "2 pruned conditions of 2 models evaluated" in words(parts)


def test_a_model_without_a_profile_has_dashes(parts):
    parts["finding"]["models"] = []
    (row,) = table_rows(parts, "ref-reglu", "LlamaForCausalLM")
    assert row[-5:] == ["–"] * 5


def test_overlap_is_warned_of_only_where_it_is_allowed(parts):
    assert "Calibration data overlaps" not in words(parts)
    (corpus,) = parts["corpora"].values()
    corpus.update(allowed=True, shared_documents=12, shared_ngrams=3)
    text = words(parts)
    assert "holds 12 whole evaluation items and shares runs of 24 words with 3 more" in text
    assert text.index("Calibration data overlaps") < text.index("What to know")


def test_the_share_of_unknown_tokens_stands_by_a_corpus(parts):
    (row,) = table_rows(parts, next(iter(parts["corpora"])), "2,310")
    assert "1.2%" in row


def test_the_commit_of_a_corpus_stands_by_it_only_where_there_is_one(parts):
    assert "at commit" not in words(parts)
    (corpus,) = parts["corpora"].values()
    corpus["commit"] = "c0ffee" * 6
    assert f"{next(iter(parts['corpora']))}at commit {'c0ffee' * 6}" in words(parts)


def test_dense_accuracy_and_its_steps_stand_apart(parts):
    text = page(parts)
    folded = text.index("By number of reasoning steps")
    assert "<th>Steps</th>" not in text[:folded]
    assert "<th>Steps</th>" in text[folded:]
    rows = table_rows(parts, "ref-reglu", "copying", "control")
    assert [row[3:] for row in rows] == [
        ["87.5%", "25.0%", "200"],
        ["2", "87.5%", "25.0%", "100"],
        ["3", "87.5%", "25.0%", "100"],
    ]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.2, -0.1, "the first costs less"),
        (0.1, 0.2, "the first costs more"),
        (-0.1, 0.1, "no clear difference"),
        (0.0, 0.1, "no clear difference"),
        (-0.1, 0.0, "no clear difference"),
    ],
)
def test_reading_is_clear_only_when_the_interval_leaves_out_zero(low, high, said):
    assert report.reading({"low": low, "high": high}) == said


def test_tasks_stand_mean_first_and_controls_last(curves):
    titles = [task["title"] for task in report.by_task(curves, ["ref-swiglu", "ref-reglu"])]
    assert titles == ["mean of the reasoning tasks", "addition", "multihop", "copying (control)"]


def test_rows_of_a_task_stand_by_model_dense_first_then_by_sparsity(curves):
    mean = report.by_task(list(reversed(curves)), ["ref-swiglu", "ref-reglu"])[0]["rows"]
    found = [(row["model"], row["method"], row["level"]) for row in mean]
    assert found[:5] == [
        ("ref-swiglu", "dense", "0"),
        ("ref-swiglu", "drop_cold", "0.1"),
        ("ref-swiglu", "drop_cold", "0.5"),
        ("ref-swiglu", "drop_cold", "cold"),
        ("ref-swiglu", "drop_random", "0.1"),
    ]
    assert {model for model, _, _ in found[7:]} == {"ref-reglu"}


def test_the_dense_row_comes_first_whatever_the_methods_are_called(make_curve):
    rows = [make_curve(method="arm", level="0.1"), make_curve(method="dense", level="0")]
    (mean,) = report.by_task(rows, [])
    assert [row["method"] for row in mean["rows"]] == ["dense", "arm"]


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.1234, "12.3"), (-0.05, "−5.0"), (-0.0001, "0.0"), (0.0, "0.0"), (None, "–")],
)
def test_points(share, shown):
    assert report.points(share) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [("0.25", "25%"), ("0.125", "12.5%"), ("0", "0"), ("cold", "cold set"), ("other", "other")],
)
def test_level(given, shown):
    assert report.level(given) == shown


def test_percent_count_number_and_span():
    assert report.percent(0.955) == "95.5%"
    assert report.percent(0.95, 0) == "95%"
    assert report.count(1_240_320) == "1,240,320"
    assert report.number(-0.5) == "−0.50"
    assert report.span(-0.01, 0.02) == "[−1.0, 2.0]"
    assert report.span(None, 0.02) == "–"


def test_provenance_tells_source_seed_and_weights(parts, manifest):
    (source,) = table_rows(parts, "Source of this page")
    assert manifest.source in source[1]
    assert table_rows(parts, "Seed") == [["Seed", "3"]]
    (weights,) = table_rows(parts, "Model ref-reglu")
    assert "a" * 32 in weights[1]


@pytest.fixture
def build_report():
    """The script, imported as Snakemake would run it, and its job left out."""
    path = SOURCE_ROOT.parent / "workflow" / "scripts" / "build_report.py"
    spec = importlib.util.spec_from_file_location("build_report", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


SPECS = ("main", "task", "part", "steps", "compared", "sparsity", "lorenz", "frequency", "overlap")


def build(main, folder, parts, manifest):
    """Write the inputs below `folder`, run the script, return its outputs by name."""
    for table in TABLES:
        table.write(folder / f"{table.name}.parquet", parts[table.name], manifest)
    FINDING.write(folder / "finding.json", parts["finding"], manifest)
    corpora = [folder / name / "corpus.json" for name in parts["corpora"]]
    for path, body in zip(corpora, parts["corpora"].values(), strict=True):
        CORPUS.write(path, body, manifest)
    models = [folder / model["name"] / "model.json" for model in parts["models"]]
    for path, body in zip(models, parts["models"], strict=True):
        MODEL.write(path, body, manifest)
    classifications = [
        folder / row["model"] / row["corpus"] / row["classification"] / "classification.json"
        for row in parts["classifications"]
    ]
    for path, body in zip(classifications, parts["classifications"], strict=True):
        own = {key: body[key] for key in CLASSIFICATION.keys}
        CLASSIFICATION.write(path, own, manifest)
    profiles = write_profiles(folder, parts["profiles"], manifest)
    main(**arguments(folder, corpora, models, classifications, manifest), **profiles)
    names = ("index.html", "main.svg", "files.json", *(f"{name}.json" for name in SPECS))
    return {name: (folder / name).read_text(encoding="utf-8") for name in names}


def write_profiles(folder, profiles, manifest):
    """The keywords of the script that are about profiles, with the files behind them."""
    pairs = [[m, c] for m in profiles.models for c in ("reasoning", "prose")]
    kinds = {"layers": LAYERS, "spreads": POWER_LAW, "ranked": RANKED, "overlaps": HOT_OVERLAPS}
    rows = (profiles.layers, profiles.power_law, profiles.ranked, profiles.overlaps)
    given = {"profiled": pairs}
    for (name, table), all_rows in zip(kinds.items(), rows, strict=True):
        given[name] = []
        for keys in pairs if name == "layers" else [[m] for m in profiles.models]:
            own = dict(zip(("model", "corpus"), keys, strict=False))
            mine = [row for row in all_rows if own.items() <= row.items()]
            given[name].append(folder / f"{name}-{'-'.join(keys)}.parquet")
            table.write(given[name][-1], [{k: r[k] for k in table.columns} for r in mine], manifest)
    return given


TABLES = (
    CURVES, PERPLEXITY, CORRELATIONS, UNITS, STEPS, REMOVALS, REMOVED_BY_LAYER, REFUSED,
)  # fmt: skip


def arguments(folder, corpora, models, classifications, manifest):
    return {
        "tables": [folder / f"{table.name}.parquet" for table in TABLES],
        "finding": folder / "finding.json",
        "corpora": corpora,
        "models": models,
        "classifications": classifications,
        "study": "small",
        "methods": METHODS,
        "steps_of": ["drop_cold", "drop_random"],
        "libraries": {"torch": "2.13.0"},
        "page": folder / "index.html",
        "figure": folder / "main.svg",
        "specs": [folder / f"{name}.json" for name in SPECS],
        "files": folder / "files.json",
        "manifest": manifest,
    }


def test_the_script_makes_the_same_bytes_in_any_folder(build_report, parts, manifest, tmp_path):
    one = build(build_report, tmp_path / "one", parts, manifest)
    assert build(build_report, tmp_path / "two", parts, manifest) == one
    assert str(tmp_path) not in "".join(one.values())
    assert one["main.svg"].strip() in one["index.html"]
    told = json.loads(one["files.json"])["body"]["files"]
    assert told == {
        name: digest.of_bytes(text.encode()) for name, text in one.items() if name != "files.json"
    }
    for name in ("main", "task", "part", "steps"):
        assert json.loads(one[f"{name}.json"])["$schema"].startswith("https://vega.github.io/")
    assert '"part": "draw"' in one["main.json"] and '"expected"' in one["steps.json"]
    for tag, attributes in Reader(one["index.html"]).elements:
        assert tag != "script" and not {"src", "href", "xlink:href"} & set(attributes)


def test_the_script_makes_a_page_when_all_is_refused(build_report, parts, manifest, tmp_path):
    for table in TABLES:
        if table is not REFUSED:
            parts[table.name] = []
    parts["finding"].update(contrasts=[], dense=[], decomposition=[])
    made = build(build_report, tmp_path, parts, manifest)
    assert "No condition was evaluated" in made["main.svg"]
    assert parts["refused"][0]["reason"] in made["index.html"]


def test_the_script_refuses_a_foreign_file(build_report, parts, manifest, tmp_path):
    build(build_report, tmp_path, parts, manifest)
    profiles = write_profiles(tmp_path, parts["profiles"], manifest)
    (tmp_path / "curves.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match="curves.parquet"):
        build_report(**arguments(tmp_path, [], [], [], manifest), **profiles)


def test_what_predicts_the_loss_is_told_by_level_pooled_rows_first(parts):
    rows = table_rows(parts, "neuron")
    assert [row[1] for row in rows] == ["all, pooled", "ref-reglu"]
    assert rows[0][2:] == ["one_part", "activity of the decile", "0.83", "&lt; 0.001", "20", "–"]
    assert rows[1][5] == "0.012"
    assert table_rows(parts, "layer")[0][4:] == ["–", "–", "20", "–"]
    assert table_rows(parts, "condition")[0][4:] == ["0.83", "–", "20", "–"]
    parts["correlations"] = []
    assert "Does activity predict the loss?" not in words(parts)


def test_removals_tell_a_p_only_within_equal_numbers(parts):
    rows = [row[2:] for row in table_rows(parts, "removal", "ref-reglu")]
    assert rows == [
        ["all removals", "activity removed, all removals (descriptive)", "0.91", "–", "20", "–"],
        ["all removals", "neurons removed, all removals (descriptive)", "0.95", "–", "20", "–"],
        ["all removals", "activity removed given the number, all removals (descriptive)", "–", "–",
         "20", "–"],
        ["all removals", "activity removed, within removals of equally many neurons", "0.12",
         "0.400", "20", "4"],
    ]  # fmt: skip


def test_conditions_below_chance_are_counted(parts):
    assert "less than chance" not in words(parts)
    for row in parts["curves"]:
        if (row["method"], row["level"], row["task"]) == ("keep_cold", "hot", "reasoning"):
            row["accuracy"] = 0.1
            row["out_of_form"] = 0.7 if row["model"] == "ref-reglu" else 0.92
    assert (
        "2 conditions left less than chance on the mean of the reasoning tasks, where 70% to 92% "
        "of the responses hold no answer in the task's form; how far below chance" in words(parts)
    )


def test_tasks_that_a_mean_leaves_out_are_named_with_the_methods(parts):
    assert "The mean of the reasoning tasks is without" not in words(parts)
    for row in parts["curves"]:
        if row["method"] in ("drop_cold", "keep_cold") and row["task"] == "reasoning":
            row["left_out"] = "addition, multihop"
    assert (
        "The mean of the reasoning tasks is without addition, multihop under drop_cold, keep_cold: "
        "nothing was imposed at any token of these tasks there." in words(parts)
    )


def test_nats_that_cannot_be_told_are_dashes_beside_the_count_of_such_texts(parts):
    nothing = dict.fromkeys(("log_perplexity", "loss", "loss_low", "loss_high"))
    parts["perplexity"] = [{**row, **nothing, "nonfinite": 3} for row in parts["perplexity"]]
    (row,) = table_rows(parts, "prose", "ref-reglu")
    assert row[7:] == ["–", "–", "–", "1.30", "1", "500", "3"]


def test_texts_are_told_in_nats_without_the_dense_run(parts):
    (row,) = table_rows(parts, "prose", "ref-reglu")
    assert row[2:] == [
        "drop_cold", "10%", "10.0%", "10.0%", "10.0%", "0.37", "[0.35, 0.40]", "1.67", "1.30", "1",
        "500", "0",
    ]  # fmt: skip
    parts["perplexity"] = []
    assert "Text that needs no reasoning" not in words(parts)


def test_whole_sets_stand_in_a_table_below_the_sentences(parts):
    (cold,) = table_rows(parts, "ref-reglu", "as many as are cold")
    assert cold[2:] == ["drop_cold", "62.0%", "12.4", "[9.4, 16.4]", "75.1%", "25.0%", "15.5%"]
    assert table_rows(parts, "ref-reglu", "as many as are hot")


def test_published_shares_stand_beside_the_models_own(parts):
    assert table_rows(parts, "ref-reglu", "reasoning")[0][2:4] == ["32.0%", "30.0%"]
    (published,) = table_rows(parts, "OPT-30B, ReLU (arXiv 2312.12456)")
    assert published[1:4] == ["Wikipedia", "26%", "17%"]
