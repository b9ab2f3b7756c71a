"""The comparison of two results folders finds what differs, and nothing else."""

import json

import polars as pl
import pytest

from tests.rows import differences

ROWS = {"text": ["a", "b"], "count": [1, 2], "nats": [0.5, 1.5]}


@pytest.fixture
def folders(tmp_path):
    """A function: rows of a table, and a JSON value -> the differences from ROWS and {"x": 1.0}."""

    def compare(rows=ROWS, value=None, **frames):
        for name, table, facts in (("one", ROWS, {"x": 1.0}), ("other", rows, value or {"x": 1.0})):
            results = tmp_path / name / "results"
            results.mkdir(parents=True)
            pl.DataFrame(table).write_parquet(results / "rows.parquet")
            (results / "facts.json").write_text(json.dumps(facts))
        for name, frame in frames.items():
            pl.DataFrame(frame).write_parquet(tmp_path / name / "results/histogram.parquet")
        return differences(tmp_path / "one", tmp_path / "other")

    return compare


def test_equal_folders_have_no_differences(folders):
    assert folders() == []


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("text", ["a", "c"]),
        ("count", [1, 3]),
        ("nats", [0.5, 1.503]),
        ("nats", [0.5, float("nan")]),
    ],
)
def test_another_value_is_found(folders, column, values):
    (line,) = folders(ROWS | {column: values})
    assert line.startswith(f"rows.parquet: {column}: 1 of 2 rows differ, the first at 1")


def test_rounding_is_no_difference(folders):
    assert folders(ROWS | {"nats": [0.50004, 1.4999]}, {"x": 1.0005}) == []


def test_other_rows_are_found(folders):
    assert folders({name: values[:1] for name, values in ROWS.items()}) == [
        "rows.parquet: 2 and 1 rows"
    ]


def test_another_order_is_found(folders):
    assert len(folders({name: values[::-1] for name, values in ROWS.items()})) == 3


def test_another_type_is_found(folders):
    assert folders(ROWS | {"count": [1.0, 2.0]}) == ["rows.parquet: other columns"]


def test_json_is_compared_but_for_where_it_comes_from(folders):
    assert folders(value={"x": 2.0, "manifest": "m"}) == ["facts.json: .x: 1.0 and 2.0"]


def test_a_count_may_move_to_the_neighbouring_bin_only_rarely(folders):
    bins = {"layer": [0, 0], "low": [0.0, 1.0], "high": [1.0, 2.0], "count": [5000, 5000]}
    moved = bins | {"count": [4995, 5005]}
    assert folders(one=bins, other=moved) == []


def test_more_moved_counts_are_found(folders):
    bins = {"layer": [0, 0], "low": [0.0, 1.0], "high": [1.0, 2.0], "count": [5000, 5000]}
    (line,) = folders(one=bins, other=bins | {"count": [4980, 5020]})
    assert line == "histogram.parquet: counts of 10000 and 10000, 20 in other bins"


def test_no_tables_are_a_difference(tmp_path):
    assert differences(tmp_path / "one", tmp_path / "other") == [f"{tmp_path / 'one'}: no tables"]


def test_a_figures_data_set_is_told_by_its_rows_and_not_by_its_name(tmp_path):
    def compared(name, value):
        for folder, named, y in (("one", "data-a1", 0.5), (name, name, value)):
            results = tmp_path / folder / "results"
            results.mkdir(parents=True, exist_ok=True)
            spec = {"layer": [{"data": {"name": named}}], "datasets": {named: [{"y": y}]}}
            (results / "figure.vl.json").write_text(json.dumps(spec))
        return differences(tmp_path / "one", tmp_path / name)

    assert compared("data-b2", 0.50001) == []
    (line,) = compared("data-c3", 0.6)
    assert line.startswith("figure.vl.json: .datasets.data set 0[0].y: 0.5 and 0.6")


def test_a_few_counts_may_lie_on_the_other_side_of_a_threshold(tmp_path):
    for folder, counts in (("one", [1000, 1000]), ("same", [999, 1000]), ("other", [990, 1000])):
        place = tmp_path / folder / "results" / "shared"
        place.mkdir(parents=True)
        frame = pl.DataFrame({"active_cett": counts, "tokens": [2000, 2000]})
        frame.write_parquet(place / "neurons.parquet")
    assert differences(tmp_path / "one", tmp_path / "same") == []
    (told,) = differences(tmp_path / "one", tmp_path / "other")
    assert "active_cett: 1 of 2 rows differ" in told
