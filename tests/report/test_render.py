"""SVG and JSON text: stands alone, and equal specs give equal bytes."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from pipeline.report.render import spec_text, svg
from pipeline.report.sections.accuracy_lost import main_figure
from pipeline.report.sections.tasks import task_figure

SVG = "{http://www.w3.org/2000/svg}"

RENDER = """
import json, sys
from pipeline.report.sections.accuracy_lost import main_figure
from pipeline.report.render import spec_text, svg
spec = main_figure(*json.load(open(sys.argv[1])))
sys.stdout.write(spec_text(spec) + svg(spec))
"""


@pytest.fixture(params=["main", "task"])
def spec(request, curves, removals, finding):
    """A spec of two models."""
    if request.param == "task":
        return task_figure(curves, finding["models"], [])
    return main_figure(curves, removals, finding["models"], [])


def test_svg_is_well_formed_on_white_and_scales(spec):
    root = ElementTree.fromstring(svg(spec))
    assert root.tag == f"{SVG}svg"
    assert len(root.attrib["viewBox"].split()) == 4
    assert root.find(f"{SVG}rect").attrib["fill"] == "white"


def test_svg_asks_for_nothing_and_has_no_ids_that_could_clash(spec):
    root = ElementTree.fromstring(svg(spec))
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "g", "rect", "path", "line", "text"}
        names = {name.rsplit("}", 1)[-1] for name in element.attrib}
        assert not names & {"href", "src", "id", "onload", "onclick"}


def test_equal_specs_give_equal_bytes_in_every_process_and_folder(
    curves, removals, finding, tmp_path, python, monkeypatch
):
    given = tmp_path / "given.json"
    given.write_text(json.dumps([curves, removals, finding["models"], []]))
    spec = main_figure(curves, removals, finding["models"], [])
    here = spec_text(spec) + svg(spec)
    assert svg(spec) == svg(spec)
    for index in range(2):
        folder = tmp_path / str(index)
        folder.mkdir()
        monkeypatch.chdir(folder)
        done = python(RENDER, given, PYTHONHASHSEED=str(index))
        assert done.returncode == 0, done.stderr
        assert done.stdout == here


def test_spec_text_is_a_sorted_plain_vega_lite_document(spec):
    text = spec_text(spec)
    document = json.loads(text)
    assert document["$schema"].startswith("https://vega.github.io/schema/vega-lite/v")
    assert text == json.dumps(document, indent=1, sort_keys=True) + "\n"


def test_spec_text_refuses_numbers_that_json_has_not():
    with pytest.raises(ValueError, match="JSON compliant"):
        spec_text({"value": float("nan")})


def test_data_from_elsewhere_is_refused(tmp_path):
    (tmp_path / "rows.json").write_text('[{"a": 1}]')
    spec = main_figure([], [], [], [])
    for url in ("http://localhost:9/rows.json", "https://example.org/rows.json"):
        elsewhere = {"$schema": spec["$schema"], "data": {"url": url}, "mark": "point"}
        with pytest.raises(ValueError, match="[Uu]rl|URL|allowed"):
            svg(elsewhere)


def test_importing_the_report_imports_no_library_that_draws(python):
    done = python(
        "import sys, pipeline.report.render, pipeline.report.page\n"
        "from pipeline.report.section import registered\n"
        "registered()\n"
        "heavy = {'altair', 'vl_convert', 'jinja2', 'polars', 'markupsafe'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    assert done.returncode == 0, done.stderr
