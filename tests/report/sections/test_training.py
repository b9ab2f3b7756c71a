"""Loss curves of what methods train."""

from pipeline.report.render import svg
from pipeline.report.sections.training import training_figure, trainings
from tests.report.reading import section_of, table_rows


def drawn(spec):
    return [row for rows in spec["datasets"].values() for row in rows]


def test_every_training_is_a_line_with_one_dot(training):
    spec = training_figure(training)
    rows = drawn(spec)
    assert len(rows) == len(training)
    lines = {row["line"] for row in rows}
    assert len(lines) == 2 * (2 + 2)
    for line in lines:
        of_line = [row for row in rows if row["line"] == line]
        assert [row["step"] for row in of_line] == [0, 25, 50]
        assert [row["loss"] for row in of_line if row["kept"]] == [0.5]
        assert len({(row["model"], row["method"]) for row in of_line}) == 1
    text = svg(spec)
    assert all(f">{name}<" in text for name in ("predicted", "spon", "ref-reglu", "loss, nats"))


def test_a_training_begins_somewhere_and_keeps_its_lowest_loss(training):
    (first, *_) = trainings(training)
    assert (first["start"], first["kept"], first["kept_step"], first["steps"]) == (
        0.75,
        0.5,
        25,
        50,
    )


def test_the_table_tells_whose_training_it_was(parts):
    text = section_of("training", parts)
    (second,) = table_rows(text, "ref-reglu", "predicted", "all", "all", "predictor of layer 1")
    assert second[5:] == ["entropy, nats", "50", "25", "200", "0.75", "0.5"]
    assert len(table_rows(text, "ref-swiglu", "spon", "50%")) == 2


def test_without_a_training_there_is_no_section(parts):
    parts["training"] = []
    assert section_of("training", parts) == ""
    assert "Nothing was trained" in svg(training_figure([]))
