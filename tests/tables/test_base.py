"""Tables and documents hold exactly the declared columns and keys, in any direction."""

import polars as pl
import pytest

from pipeline.errors import UserError
from pipeline.store.artifacts import write_json, write_parquet
from pipeline.tables.base import Column, Document, Table

TABLE = Table(
    "fruits",
    2,
    "Some fruits.",
    {
        "name": Column("String", "what it is"),
        "count": Column("Int32", "how many"),
        "weight": Column("Float64", "kilograms", nullable=True),
        "parts": Column("List:Int32", "sizes"),
    },
)
ROWS = [
    {"name": "fig", "count": 2, "weight": 0.5, "parts": [1, 2]},
    {"name": "lime", "count": 0, "weight": None, "parts": []},
]
COLUMNS = {key: [row[key] for row in ROWS] for key in ROWS[0]}
DOCUMENT = Document("note", 1, "A note.", {"title": "its title", "lines": "its lines"})
BODY = {"title": "x", "lines": [1, None]}


@pytest.mark.parametrize(
    "given", [ROWS, COLUMNS, pl.DataFrame(ROWS)], ids=["rows", "columns", "frame"]
)
def test_rows_columns_and_frames_give_one_frame(given):
    frame = TABLE.frame(given)
    assert frame.to_dicts() == ROWS
    assert dict(frame.schema) == {
        "name": pl.String,
        "count": pl.Int32,
        "weight": pl.Float64,
        "parts": pl.List(pl.Int32),
    }


def test_columns_stand_in_the_declared_order():
    shuffled = {key: COLUMNS[key] for key in ("parts", "weight", "name", "count")}
    assert TABLE.frame(shuffled).columns == list(TABLE.columns)


@pytest.mark.parametrize("empty", [[], {}, {key: [] for key in COLUMNS}])
def test_no_rows_make_an_empty_table_with_all_columns(empty):
    assert TABLE.frame(empty).shape == (0, 4)


def as_rows(columns):
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


@pytest.mark.parametrize("form", [dict, as_rows, pl.DataFrame], ids=["columns", "rows", "frame"])
@pytest.mark.parametrize("absent", list(COLUMNS))
def test_a_missing_column_is_refused_by_name(form, absent):
    with pytest.raises(ValueError, match="fruits") as refused:
        TABLE.frame(form({key: values for key, values in COLUMNS.items() if key != absent}))
    assert absent in str(refused.value)


@pytest.mark.parametrize("form", [dict, as_rows, pl.DataFrame], ids=["columns", "rows", "frame"])
def test_a_column_too_many_is_refused_by_name(form):
    with pytest.raises(ValueError, match="fruits.*colour"):
        TABLE.frame(form({**COLUMNS, "colour": ["purple", "green"]}))


@pytest.mark.parametrize("column", ["name", "count", "parts"])
def test_a_null_is_refused_where_none_is_allowed(column):
    with pytest.raises(ValueError, match=f"fruits: column {column} has nulls"):
        TABLE.frame({**COLUMNS, column: [None, COLUMNS[column][1]]})


@pytest.mark.parametrize(("column", "wrong"), [("count", 2**40), ("count", 1.5), ("count", "x")])
@pytest.mark.parametrize("form", [dict, as_rows, pl.DataFrame], ids=["columns", "rows", "frame"])
def test_a_value_of_another_type_is_refused_not_rounded(form, column, wrong):
    with pytest.raises((ValueError, TypeError, pl.exceptions.PolarsError)):
        TABLE.frame(form({**COLUMNS, column: [wrong, wrong]}))


def test_a_table_is_read_as_it_was_written(tmp_path, manifest):
    TABLE.write(tmp_path / "t.parquet", ROWS, manifest)
    assert TABLE.read(tmp_path / "t.parquet").equals(TABLE.frame(ROWS))


def test_a_refused_table_leaves_no_file(tmp_path, manifest):
    with pytest.raises(ValueError, match="nulls"):
        TABLE.write(tmp_path / "t.parquet", {**COLUMNS, "name": [None, None]}, manifest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"name": ["fig"]},
        {**COLUMNS, "colour": ["purple", "green"]},
        {**COLUMNS, "name": [None, "lime"]},
        {**COLUMNS, "count": ["many", "none"]},
    ],
    ids=["missing", "extra", "null", "type"],
)
def test_a_file_with_other_columns_is_refused_by_name(tmp_path, manifest, columns):
    path = tmp_path / "t.parquet"
    write_parquet(path, "fruits", 2, pl.DataFrame(columns).to_arrow(), manifest)
    with pytest.raises(UserError) as refused:
        TABLE.read(path)
    assert str(path) in str(refused.value) and "Remove the file and run again" in str(refused.value)


def test_a_document_is_read_as_it_was_written(tmp_path, manifest):
    DOCUMENT.write(tmp_path / "n.json", BODY, manifest)
    assert DOCUMENT.read(tmp_path / "n.json") == BODY


@pytest.mark.parametrize("body", [{"title": "x"}, {**BODY, "author": "y"}, {}])
def test_a_document_with_other_keys_is_neither_written_nor_read(tmp_path, manifest, body):
    path = tmp_path / "n.json"
    with pytest.raises(ValueError, match="document note: keys"):
        DOCUMENT.write(path, body, manifest)
    assert not path.exists()
    write_json(path, "note", 1, body, manifest)
    with pytest.raises(UserError, match="its keys are not those of note"):
        DOCUMENT.read(path)


@pytest.mark.parametrize("body", [[], "text", 3, None])
def test_a_document_that_holds_no_keys_is_refused(tmp_path, manifest, body):
    write_json(tmp_path / "n.json", "note", 1, body, manifest)
    with pytest.raises(UserError, match="its keys are not those of note"):
        DOCUMENT.read(tmp_path / "n.json")
