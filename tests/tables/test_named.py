"""Files are read as what their folders are about, or refused."""

import dataclasses

import pytest

from pipeline.errors import UserError
from pipeline.tables.base import Column, Document, Table
from pipeline.tables.named import by_file_name, read_by, read_each

TABLE = Table("numbers", 1, "Numbers.", {"x": Column("Int64", "a number")})
BODY = Document("body", 1, "A body.", {"x": "a number"})


@pytest.fixture
def written(tmp_path, manifest):
    """(paths, folders) of a table for each of two models."""
    paths, folders = [], {}
    for number, model in enumerate(("one", "two")):
        own = dataclasses.replace(manifest, identity=f"identity of {model}")
        paths.append(tmp_path / model / "numbers.parquet")
        TABLE.write(paths[-1], [{"x": number}], own)
        folders[str(tmp_path / model)] = {"model": model, "identity": f"identity of {model}"}
    return paths, folders


def test_a_file_is_read_with_what_its_folder_is_about_in_any_order(written):
    paths, folders = written
    found = [(facts, table["x"].to_list()) for facts, table in read_each(TABLE, paths, folders)]
    assert found == [({"model": "one"}, [0]), ({"model": "two"}, [1])]
    turned = read_by(TABLE, paths[::-1], folders, "model")
    assert {key: table["x"].to_list() for key, table in turned.items()} == {
        ("one",): [0],
        ("two",): [1],
    }


def test_a_file_in_the_place_of_another_is_refused(written):
    (one, other), folders = written
    one.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match=r"one/numbers.parquet: made by rule some_rule for another"):
        list(read_each(TABLE, [one, other], folders))


def test_facts_in_the_place_of_others_are_refused(written):
    paths, folders = written
    (one, own), (other, others) = folders.items()
    with pytest.raises(UserError, match="for another condition, study or version"):
        read_by(TABLE, paths, {one: others, other: own}, "model")


def test_a_file_that_nothing_is_said_of_is_an_error(written):
    paths, folders = written
    with pytest.raises(KeyError):
        list(read_each(TABLE, paths, dict(list(folders.items())[:1])))


def test_a_document_is_read_as_a_table_is(tmp_path, manifest):
    BODY.write(tmp_path / "body.json", {"x": 1}, dataclasses.replace(manifest, identity="own"))
    folders = {str(tmp_path): {"model": "m", "identity": "own"}}
    assert list(read_each(BODY, [tmp_path / "body.json"], folders)) == [({"model": "m"}, {"x": 1})]


def test_paths_by_the_names_of_their_files(tmp_path):
    paths = [tmp_path / "b.json", tmp_path / "a.json"]
    assert by_file_name(paths) == {"b.json": paths[0], "a.json": paths[1]}
