"""The script of the report: the same bytes in any folder, each file with what its name says."""

import dataclasses
import html
import importlib.util
import json
import shutil

import pytest

from pipeline.errors import UserError
from pipeline.registry import ANALYSES
from pipeline.report.section import figures
from pipeline.store import digest
from pipeline.store.digest import SOURCE_ROOT
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.model import MODEL
from pipeline.tables.neurons import LAYERS
from pipeline.tables.overlap import OVERLAP
from pipeline.tables.plan import TRAINING
from pipeline.tables.power_law import HOT_OVERLAPS, POWER_LAW, RANKED
from pipeline.tables.sampled import CETT_CURVE
from pipeline.tables.sequences import CORPUS
from tests.report.reading import TABLES, Reader


@pytest.fixture
def build_report():
    """The script, imported as Snakemake would run it, and its job left out."""
    path = SOURCE_ROOT.parent / "workflow" / "scripts" / "build_report.py"
    spec = importlib.util.spec_from_file_location("build_report", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


class Inputs:
    """Files of a study in a folder, with what each of their folders is about."""

    def __init__(self, folder, manifest):
        self.folder, self.manifest = folder, manifest
        self.folders, self.paths = {}, {}

    def write(self, name, kind, file, facts, body):
        """Write a file into a folder of its own, named by the facts."""
        place = self.folder / name / "-".join(map(str, facts.values()))
        identity = f"{name} of {place.name}"
        self.folders[str(place)] = facts | {"identity": identity}
        self.paths.setdefault(name, []).append(place / file)
        kind.write(place / file, body, dataclasses.replace(self.manifest, identity=identity))


def inputs(folder, parts, manifest):
    """The script's keywords that are inputs, with the files behind them."""
    made = Inputs(folder, manifest)
    for file in ANALYSES:
        table = ANALYSES.load(file).table
        table.write(folder / "analyse" / file, parts.get(table.name, []), manifest)
        made.paths.setdefault("tables", []).append(folder / "analyse" / file)
    for name, body in parts["corpora"].items():
        of_corpus, of_overlap = (
            {key: body[key] for key in kind.keys} for kind in (CORPUS, OVERLAP)
        )
        made.write("corpora", CORPUS, "corpus.json", {"name": name}, of_corpus)
        made.write("text_overlaps", OVERLAP, "overlap.json", {"name": name}, of_overlap)
    for body in parts["models"]:
        made.write("models", MODEL, "model.json", {"model": body["name"]}, body)
    for row in parts["classifications"]:
        facts = {key: row[key] for key in ("model", "corpus", "classification")}
        body = {key: row[key] for key in CLASSIFICATION.keys}
        made.write("classifications", CLASSIFICATION, "classification.json", facts, body)
    write_profiles(made, parts["profiles"])
    write_training(made, parts["training"])
    return made.paths | {"folders": made.folders}


def write_training(made, rows):
    names = ("model", "method", "level", "seed", "objective")
    made.paths["training"] = []
    for facts in dict.fromkeys(tuple((name, row[name]) for name in names) for row in rows):
        mine = [row for row in rows if dict(facts).items() <= row.items()]
        body = [{key: row[key] for key in TRAINING.columns} for row in mine]
        made.write("training", TRAINING, "training.parquet", dict(facts), body)


def write_profiles(made, profiles):
    kinds = {
        "layers": (LAYERS, profiles.layers),
        "cett_curves": (CETT_CURVE, profiles.cett_curves),
        "spreads": (POWER_LAW, profiles.power_law),
        "ranked": (RANKED, profiles.ranked),
        "overlaps": (HOT_OVERLAPS, profiles.overlaps),
    }
    for name, (table, rows) in kinds.items():
        corpora = ("reasoning", "prose") if name in ("layers", "cett_curves") else (None,)
        for model in profiles.models:
            for corpus in corpora:
                facts = {"model": model} | ({"corpus": corpus} if corpus else {})
                mine = [row for row in rows if facts.items() <= row.items()]
                body = [{key: row[key] for key in table.columns} for row in mine]
                made.write(name, table, f"{table.name}.parquet", facts, body)


def outputs(folder):
    """The script's keywords that are outputs."""
    return {
        "page": folder / "index.html",
        "sentences": folder / "finding.txt",
        "pictures": [folder / one.svg_file for one in figures() if one.as_svg],
        "specs": [folder / one.spec_file for one in figures()],
        "files": folder / "files.json",
    }


def settings(parts, manifest):
    names = ("study", "methods", "by_steps", "libraries")
    return {name: parts[name] for name in names} | {"orders": [], "manifest": manifest}


def build(main, folder, parts, manifest, **changes):
    """Write the inputs below `folder`, run the script, return its outputs by their names."""
    folder.mkdir(exist_ok=True)
    given = inputs(folder, parts, manifest) | outputs(folder) | settings(parts, manifest)
    main(**given | changes)
    return {
        path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()
    }


def test_the_script_makes_the_same_bytes_in_any_folder(build_report, parts, manifest, tmp_path):
    one = build(build_report, tmp_path / "one", parts, manifest)
    assert build(build_report, tmp_path / "two", parts, manifest) == one
    assert str(tmp_path) not in "".join(one.values())
    assert one["accuracy-lost.svg"].strip() in one["index.html"]
    told = json.loads(one["files.json"])["body"]["files"]
    assert told == {
        name: digest.of_bytes(text.encode()) for name, text in one.items() if name != "files.json"
    }
    for figure in figures():
        assert json.loads(one[figure.spec_file])["$schema"].startswith("https://vega.github.io/")
    assert '"part": "draw"' in one["accuracy-lost.vl.json"]
    assert '"expected"' in one["right-by-steps.vl.json"]
    for tag, attributes in Reader(one["index.html"]).elements:
        assert tag != "script" and not {"src", "href", "xlink:href"} & set(attributes)


def test_the_finding_is_written_a_sentence_a_line_and_stands_on_the_page(
    build_report, parts, manifest, tmp_path
):
    made = build(build_report, tmp_path, parts, manifest)
    first, *others = made["finding.txt"].splitlines()
    assert first.startswith("This study compares no level of the coldest neurons") and others
    text = html.unescape(made["index.html"])
    assert all(f"<p>{sentence}</p>" in text for sentence in (first, *others))


def test_the_script_makes_a_page_when_all_is_refused(build_report, parts, manifest, tmp_path):
    parts.update({name: [] for name in TABLES if name != "refused"})
    parts["finding"].update(contrasts=[], dense=[], decomposition=[])
    made = build(build_report, tmp_path, parts, manifest)
    assert "No condition was evaluated" in made["accuracy-lost.svg"]
    assert parts["refused"][0]["reason"] in made["index.html"]


def test_the_script_refuses_a_foreign_file(build_report, parts, manifest, tmp_path):
    given = inputs(tmp_path, parts, manifest)
    (tmp_path / "analyse" / "curves.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match="curves.parquet"):
        build_report(**given, **outputs(tmp_path), **settings(parts, manifest))


@pytest.mark.parametrize(
    "name", ["corpora", "models", "classifications", "layers", "cett_curves", "spreads", "training"]
)
def test_files_that_stand_in_each_others_place_are_refused(
    build_report, parts, manifest, tmp_path, name
):
    (body,) = parts["corpora"].values()
    parts["corpora"]["another"] = body
    given = inputs(tmp_path, parts, manifest)
    one, other = given[name][:2]
    shutil.move(one, tmp_path / "apart")
    shutil.move(other, one)
    shutil.move(tmp_path / "apart", other)
    with pytest.raises(UserError, match="for another condition, study or version"):
        build_report(**given, **outputs(tmp_path), **settings(parts, manifest))


def test_the_order_of_outputs_puts_no_figure_into_anothers_file(
    build_report, parts, manifest, tmp_path
):
    one = build(build_report, tmp_path / "one", parts, manifest)
    turned = outputs(tmp_path / "two")["specs"][::-1]
    assert build(build_report, tmp_path / "two", parts, manifest, specs=turned) == one


def test_a_figure_without_a_file_of_its_name_is_an_error(build_report, parts, manifest, tmp_path):
    specs = [path.with_name(f"other-{path.name}") for path in outputs(tmp_path)["specs"]]
    with pytest.raises(KeyError, match="accuracy-lost.vl.json"):
        build(build_report, tmp_path, parts, manifest, specs=specs)
