"""The README's finding is the study's own, between its two marks."""

import shutil

import pytest

from pipeline.digest import SOURCE_ROOT
from pipeline.errors import UserError
from pipeline.report.readme import main, with_finding
from pipeline.tables.finding import FINDING

TEXT = "before\n<!-- finding: made -->\nold\n<!-- end of finding -->\nafter\n"


def test_only_what_stands_between_the_marks_is_replaced():
    text = with_finding(TEXT, ["One costs 1.0 [0.5, 1.5].", r"Two \1."])
    assert text.startswith("before\n<!-- finding: made -->\n> One costs 1.0 [0.5, 1.5].\n")
    assert "> Two \\1.\n" in text
    assert "old" not in text
    assert text.endswith("<!-- end of finding -->\nafter\n")
    assert with_finding(text, ["One costs 1.0 [0.5, 1.5].", r"Two \1."]) == text


def test_the_finding_and_the_figure_come_from_the_results(tmp_path, finding, manifest):
    results = tmp_path / "results"
    FINDING.write(results / "analyse" / "finding.json", finding, manifest)
    (results / "report").mkdir()
    (results / "report" / "accuracy-lost.svg").write_text("<svg/>")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(TEXT)
    main(tmp_path / "README.md", results)
    written = (tmp_path / "README.md").read_text()
    assert all(f"> {sentence}\n" in written for sentence in finding["sentences"])
    assert "](docs/accuracy-lost.svg)" in written
    assert (tmp_path / "docs" / "accuracy-lost.svg").read_text() == "<svg/>"


def test_a_readme_without_the_marks_is_refused_and_left_alone(tmp_path, finding, manifest):
    FINDING.write(tmp_path / "analyse" / "finding.json", finding, manifest)
    (tmp_path / "README.md").write_text("no marks\n")
    with pytest.raises(UserError, match="README.md: no .*finding"):
        main(tmp_path / "README.md", tmp_path)
    assert (tmp_path / "README.md").read_text() == "no marks\n"


def test_the_projects_own_readme_has_the_marks(tmp_path):
    shutil.copy(SOURCE_ROOT.parent / "README.md", tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert with_finding(text, ["x"]) != text
