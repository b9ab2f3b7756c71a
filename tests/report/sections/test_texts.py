"""What pruning costs on texts."""

from tests.report.reading import section_of, table_rows, words

NAME = "texts"


def test_nats_that_cannot_be_told_are_dashes_beside_the_count_of_such_texts(parts):
    nothing = dict.fromkeys(("log_perplexity", "loss", "loss_low", "loss_high"))
    parts["perplexity"] = [{**row, **nothing, "nonfinite": 3} for row in parts["perplexity"]]
    (row,) = table_rows(section_of(NAME, parts), "prose", "ref-reglu")
    assert row[7:] == ["–", "–", "–", "1.30", "1", "500", "3"]


def test_texts_are_told_in_nats_without_the_dense_run(parts):
    (row,) = table_rows(section_of(NAME, parts), "prose", "ref-reglu")
    assert row[2:] == [
        "drop_cold", "10%", "10.0%", "10.0%", "10.0%", "0.37", "[0.35, 0.40]", "1.67", "1.30", "1",
        "500", "0",
    ]  # fmt: skip
    parts["perplexity"] = []
    assert "Text that needs no reasoning" not in words(section_of(NAME, parts))
