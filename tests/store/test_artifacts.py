"""Artifacts: complete or absent, equal bytes from equal runs, and damage told by name."""

import dataclasses
import errno
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import UserError
from pipeline.store import artifacts, digest
from pipeline.store.artifacts import Manifest

TABLE = pa.table({"neuron": list(range(64)), "sum": [i / 7 for i in range(64)]})
BODY = {"name": "x", "values": [1, 2.5, None], "sum": 1 / 3}
ARRAYS = {"b": np.arange(40, dtype=np.float32), "a": np.eye(4, dtype=np.uint8)}


def write(kind, path, manifest, schema="things", version=2):
    value = {"parquet": TABLE, "json": BODY, "safetensors": ARRAYS}[kind]
    getattr(artifacts, f"write_{kind}")(path, schema, version, value, manifest)


def read(kind, path, schema="things", version=2):
    return getattr(artifacts, f"read_{kind}")(path, schema, version)


def same(kind, value):
    if kind == "parquet":
        return value.equals(TABLE)
    if kind == "json":
        return value == BODY
    return set(value) == set(ARRAYS) and all(np.array_equal(value[k], ARRAYS[k]) for k in ARRAYS)


@pytest.fixture(params=["parquet", "json", "safetensors"])
def kind(request):
    return request.param


def test_what_is_written_is_read_back(kind, tmp_path, manifest):
    write(kind, tmp_path / "new" / "file", manifest)
    assert same(kind, read(kind, tmp_path / "new" / "file"))


def test_an_arrays_order_in_memory_changes_no_value(tmp_path, manifest):
    grid = np.arange(12).reshape(3, 4)
    given = {"turned": np.asfortranarray(grid), "view": grid[:, ::2], "one": np.array(True)}
    artifacts.write_safetensors(tmp_path / "file", "things", 2, given, manifest)
    found = artifacts.read_safetensors(tmp_path / "file", "things", 2)
    assert all(np.array_equal(found[name], given[name]) for name in given)


TABLES = {
    "nulls": {"n": [None, 1], "s": [None, "x"], "b": [None, True], "l": [[None, 1], None]},
    "no number": {"x": [float("nan"), float("inf"), -0.0]},
    "empty": {"n": pa.array([], pa.int64()), "s": pa.array([], pa.string())},
    "dictionary": {"s": pa.array(["x", "y", "x"]).dictionary_encode()},
}


@pytest.mark.parametrize("columns", TABLES.values(), ids=TABLES)
def test_every_legal_table_passes_its_own_seal(tmp_path, manifest, columns):
    whole = pa.table(columns)
    for table in (whole, whole.slice(1), pa.concat_tables([whole, whole.slice(1)])):
        artifacts.write_parquet(tmp_path / "file", "things", 2, table, manifest)
        assert artifacts.read_parquet(tmp_path / "file", "things", 2).num_rows == table.num_rows


def test_two_writes_in_different_folders_give_equal_bytes(kind, tmp_path, manifest):
    for place in ("one", "two"):
        write(kind, tmp_path / place / "file", manifest)
    assert (tmp_path / "one/file").read_bytes() == (tmp_path / "two/file").read_bytes()


def test_the_manifest_is_one_json_line_with_schema_and_facts(manifest):
    text = manifest.text("things", 2)
    assert "\n" not in text
    assert json.loads(text) == {
        "schema": "things",
        "schema_version": 2,
        "rule": "some_rule",
        "source": "0" * 32,
        "config": {"level": 0.5},
        "inputs": {},
        "versions": {},
        "seed": 3,
        "device": "cpu",
        "dtype": None,
        "identity": None,
    }


def test_the_order_of_a_manifests_facts_is_no_part_of_it():
    one = Manifest("r", "s", config={"a": 1, "b": 2}, inputs={"x": "1", "y": "2"})
    two = Manifest("r", "s", config={"b": 2, "a": 1}, inputs={"y": "2", "x": "1"})
    assert one.text("t", 1) == two.text("t", 1)


def check_refused(kind, path, *words):
    with pytest.raises(UserError) as refused:
        read(kind, path)
    message = str(refused.value)
    assert str(path) in message and f"rm {path}" in message and "run the same command" in message
    for word in words:
        assert word in message


def test_a_file_of_another_schema_version_is_refused(kind, tmp_path, manifest):
    write(kind, tmp_path / "file", manifest, version=3)
    check_refused(kind, tmp_path / "file", "schema things version 3, not things 2")


def test_a_file_of_another_schema_is_refused(kind, tmp_path, manifest):
    write(kind, tmp_path / "file", manifest, schema="others")
    check_refused(kind, tmp_path / "file", "schema others version 2, not things 2")


def test_a_file_that_is_not_there_is_refused(kind, tmp_path):
    check_refused(kind, tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe garbage", b"{}", b"[1, 2]", b"null"])
def test_foreign_bytes_are_refused(kind, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    check_refused(kind, tmp_path / "file", "things")


def test_a_truncated_file_is_refused_wherever_it_is_cut(kind, tmp_path, manifest):
    path = tmp_path / "file"
    write(kind, path, manifest)
    whole = path.read_bytes()
    # The last byte of the JSON document is a line end, which says nothing.
    for length in (1, 4, 8, len(whole) // 3, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        check_refused(kind, path)


def test_a_flipped_bit_is_refused_or_harmless(kind, tmp_path, manifest):
    path = tmp_path / "file"
    write(kind, path, manifest)
    whole = path.read_bytes()
    wrong = []
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0x01
        path.write_bytes(bytes(damaged))
        try:
            if not same(kind, read(kind, path)):
                wrong.append(position)
        except UserError:
            pass
    assert not wrong, f"other values were read after a flip at these of {len(whole)} bytes: {wrong}"


def test_text_that_damage_makes_undecodable_is_refused_in_one_line(tmp_path, manifest):
    path = tmp_path / "file"
    words = pa.table({"answer": [f"answer number {i}" for i in range(40)]})
    artifacts.write_parquet(path, "things", 2, words, manifest)
    whole = path.read_bytes()
    told = set()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x80]) + whole[position + 1 :])
        try:
            assert artifacts.read_parquet(path, "things", 2).to_pydict() == words.to_pydict()
        except UserError as error:
            assert "\n" not in str(error)
            told.add("can't decode byte" in str(error))
    assert told == {True, False}


@pytest.mark.parametrize("text", ['"text"', "[]", "3", "null"])
def test_a_manifest_that_is_no_mapping_is_refused(kind, tmp_path, text):
    path = tmp_path / "file"
    if kind == "json":
        path.write_text(f'{{"manifest": {text}, "body": {{}}}}')
    elif kind == "parquet":
        pq.write_table(TABLE.replace_schema_metadata({"manifest": text}), path)
    else:
        from safetensors.numpy import save_file

        save_file(ARRAYS, path, metadata={"manifest": text})
    check_refused(kind, path)


def test_files_of_other_writers_are_refused(tmp_path):
    from safetensors.numpy import save_file

    pq.write_table(TABLE, tmp_path / "table")
    save_file(ARRAYS, tmp_path / "arrays")
    (tmp_path / "document").write_text('{"weights": 1}')
    check_refused("parquet", tmp_path / "table")
    check_refused("safetensors", tmp_path / "arrays")
    check_refused("json", tmp_path / "document")


class Interrupted(BaseException):
    """Stands for whatever ends a writer, a signal for instance."""


@pytest.mark.parametrize("reason", [RuntimeError("unforeseen"), Interrupted()])
def test_a_writer_that_fails_midway_leaves_nothing_new_and_the_old_file_whole(tmp_path, reason):
    path = tmp_path / "file"
    for before in (None, "old"):
        if before:
            path.write_text(before)
        with pytest.raises(type(reason)), artifacts.replacing(path) as partial:
            partial.write_text("half")
            raise reason
        assert [p.name for p in tmp_path.iterdir()] == (["file"] if before else [])
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (OSError(errno.ENOSPC, "no space"), "the disk is full. Make room"),
        (OSError(errno.EDQUOT, "quota"), "the disk quota is used up"),
        (OSError(errno.EROFS, "read-only"), "it is read-only. Make it writable"),
        (OSError(errno.EACCES, "denied"), "permission is denied"),
        # What safetensors raises: the system's words, no number.
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_what_to_do(tmp_path, reason, told):
    path = tmp_path / "file"
    with pytest.raises(UserError) as refused, artifacts.replacing(path) as partial:
        partial.write_text("half")
        raise reason
    assert str(refused.value).startswith(f"{path}: {told}")
    assert "run the same command again" in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_of_the_same_file_left_is_removed_and_nothing_else(tmp_path):
    others = [".file.json.7.partial", ".file.7.partial.json", ".file.x.partial", ".other.7.partial"]
    for name in (".file.7.partial", ".file.4194304.partial", *others):
        (tmp_path / name).write_text("half")
    artifacts.write_text(tmp_path / "file", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"file", *others}
    assert (tmp_path / "file").read_text() == "whole"


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), {1, 2}, object()])
def test_a_document_that_is_no_json_is_refused_and_leaves_nothing(tmp_path, manifest, wrong):
    with pytest.raises((ValueError, TypeError)):
        artifacts.write_json(tmp_path / "file", "things", 1, {"x": wrong}, manifest)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_absent_until_it_is_complete(tmp_path):
    path = tmp_path / "file"
    with artifacts.replacing(path) as partial:
        partial.write_text("half")
        assert not path.exists() and partial.parent == tmp_path
    assert path.read_text() == "half" and list(tmp_path.iterdir()) == [path]


def test_input_digests_are_those_of_the_files_by_name(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    found = artifacts.input_digests({"y": tmp_path / "b", "x": tmp_path / "a"})
    assert found == {"x": digest.of_bytes(b"1"), "y": digest.of_bytes(b"2")}
    assert list(found) == ["x", "y"]


def test_another_artifact_in_ones_place_is_told_by_its_identity(kind, tmp_path, manifest):
    path = tmp_path / f"file.{kind}"
    write(kind, path, dataclasses.replace(manifest, identity="mine"))
    artifacts.check_identity(path, "mine")
    said = rf"file\.{kind}: made by rule some_rule for another condition, study or version.*rm "
    with pytest.raises(UserError, match=said):
        artifacts.check_identity(path, "another")
    write(kind, path, manifest)
    with pytest.raises(UserError, match="for another condition"):
        artifacts.check_identity(path, "mine")


def test_an_unreadable_file_is_left_to_its_reader(kind, tmp_path):
    path = tmp_path / f"file.{kind}"
    for content in (b"", b"nothing of the kind", b"\xff" * 64):
        path.write_bytes(content)
        artifacts.check_identity(path, "mine")


def test_a_manifest_is_read_of_whole_files_alone(kind, tmp_path, manifest):
    path = tmp_path / f"file.{kind}"
    write(kind, path, dataclasses.replace(manifest, identity="mine"))
    found = artifacts.manifest_of(path)
    assert (found["identity"], found["source"]) == ("mine", manifest.source)
    whole = path.read_bytes().rstrip()
    for content in (b"", whole[:-1], whole[: len(whole) // 2], whole[:9], b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"file\.{kind}: no whole artifact.*: rm "):
            artifacts.manifest_of(path)
    with pytest.raises(UserError):
        artifacts.manifest_of(tmp_path / f"missing.{kind}")
