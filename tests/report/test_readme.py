"""The README's finding is the study's own, between its two marks."""

import shutil

import pytest

from pipeline.errors import UserError
from pipeline.report.readme import main, with_backbones, with_finding
from pipeline.store.digest import SOURCE_ROOT
from pipeline.tables.curves import CURVES, PERPLEXITY
from pipeline.tables.training import CARD

TEXT = "before\n<!-- finding: made -->\nthe last one\n<!-- end of finding -->\nafter\n"
SENTENCES = ["The cold set costs 12.4 points [9.4, 16.4].", "Coldness itself matters."]
TABLE = "<!-- backbones: made -->\nthe last one\n<!-- end of backbones -->\n"


def a_card(model, sparsity):
    def row(task, reasoning, steps, accuracy):
        facts = {"task": task, "reasoning": reasoning, "steps": steps}
        return facts | {"n": 500, "accuracy": accuracy, "chance": 0.125}

    return {
        "model": model,
        "activation": "relu",
        "parameters": 1_234_567,
        "dense": [
            row("copying", False, None, 0.99), row("chain", True, None, 0.9),
            row("chain", True, 2, 1.0),
        ],
        "log_perplexity": {"prose": 1.25, "worked_examples": 0.5},
        "layers": [{"natural_sparsity": sparsity}],
        "natural_sparsity": sparsity,
        "hot_share": 0.33,
    }  # fmt: skip


def test_the_table_of_backbones_has_a_row_a_task_controls_last():
    text = with_backbones(TABLE, [a_card("one", 0.9), a_card("two", 0.6)])
    assert text.startswith("<!-- backbones: made -->\n|  | `one` | `two` |\n| --- | --- | --- |\n")
    assert "| natural sparsity | 90.0% | 60.0% |\n" in text
    assert "| neurons that carry 80 % of all activations | 33.0% | 33.0% |\n" in text
    assert "| parameters | 1,234,567 | 1,234,567 |\n" in text
    tail = "| chain (chance 12%) | 90.0% | 90.0% |\n| control: copying | 99.0% | 99.0% |\n"
    assert text.endswith(f"{tail}| control: prose, nats a token | 1.25 | 1.25 |\n"
                         "| worked_examples, nats a token | 0.50 | 0.50 |\n"
                         "<!-- end of backbones -->\n")  # fmt: skip


def test_only_what_stands_between_the_marks_is_replaced():
    text = with_finding(TEXT, ["One costs 1.0 [0.5, 1.5].", r"Two \1."])
    assert text.startswith("before\n<!-- finding: made -->\n> One costs 1.0 [0.5, 1.5].\n")
    assert "> Two \\1.\n" in text
    assert "old" not in text
    assert text.endswith("<!-- end of finding -->\nafter\n")
    assert with_finding(text, ["One costs 1.0 [0.5, 1.5].", r"Two \1."]) == text


def test_the_finding_and_the_figure_come_from_the_results(tmp_path, manifest):
    results = tmp_path / "results"
    (results / "report").mkdir(parents=True)
    (results / "report" / "finding.txt").write_text("".join(f"{said}\n" for said in SENTENCES))
    (results / "report" / "accuracy-lost.svg").write_text("<svg/>")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(TEXT + TABLE)
    for name, sparsity in (("two", 0.6), ("one", 0.9)):
        CARD.write(tmp_path / "models" / name / "card.json", a_card(name, sparsity), manifest)
    # Without a full study its table stays as it is.
    main(tmp_path / "README.md", results, tmp_path / "models", tmp_path / "full")
    written = (tmp_path / "README.md").read_text()
    assert all(f"> {sentence}\n" in written for sentence in SENTENCES)
    assert "](docs/accuracy-lost.svg)" in written
    assert "|  | `one` | `two` |" in written
    assert (tmp_path / "docs" / "accuracy-lost.svg").read_text() == "<svg/>"


def test_a_readme_without_the_marks_is_refused_and_left_alone(tmp_path):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "finding.txt").write_text("One.\n")
    (tmp_path / "README.md").write_text("no marks\n")
    with pytest.raises(UserError, match="README.md: no .*finding"):
        main(tmp_path / "README.md", tmp_path, tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == "no marks\n"


def test_the_projects_own_readme_has_the_marks(tmp_path):
    shutil.copy(SOURCE_ROOT.parent / "README.md", tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert with_finding(text, ["x"]) != text != with_backbones(text, [a_card("x", 0.5)])


CELLS = (("one", "teal", 0.2), ("two", "teal", 0.1), ("two", "wina", 0.3))


def test_the_table_of_methods_comes_from_the_full_study(tmp_path, manifest, make_curve, perplexity):
    rows = [
        make_curve(
            model, method, "0.5", measure="model_weight_sparsity",
            model_weight_sparsity_total=0.51, loss=loss, loss_low=loss,
            loss_high=loss,
        )
        for model, method, loss in CELLS
    ]  # fmt: skip
    CURVES.write(tmp_path / "full" / "analyse" / "curves.parquet", rows, manifest)
    PERPLEXITY.write(tmp_path / "full" / "analyse" / "perplexity.parquet", perplexity, manifest)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "finding.txt").write_text("One.\n")
    (tmp_path / "report" / "accuracy-lost.svg").write_text("<svg/>")
    (tmp_path / "docs").mkdir()
    CARD.write(tmp_path / "models" / "one" / "card.json", a_card("one", 0.9), manifest)
    marks = "<!-- methods: x -->\nthe last one\n<!-- end of methods -->\n"
    (tmp_path / "README.md").write_text(TEXT + TABLE + marks)
    main(tmp_path / "README.md", tmp_path, tmp_path / "models", tmp_path / "full")
    written = (tmp_path / "README.md").read_text()
    head = "| 50% of the weights of the blocks' linear layers not read | `one` | `two` |"
    assert (
        f"{head}\n| --- | --- | --- |\n| `teal` | 20.0 [20.0, 20.0] | 10.0 [10.0, 10.0] |"
        in written
    )
    assert "the last one" not in written


def test_without_the_studys_sentences_the_readme_is_left_alone(tmp_path):
    (tmp_path / "README.md").write_text(TEXT)
    with pytest.raises(UserError, match="finding.txt: No such file or directory; run the study"):
        main(tmp_path / "README.md", tmp_path, tmp_path, tmp_path)
    assert (tmp_path / "README.md").read_text() == TEXT
