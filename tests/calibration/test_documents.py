"""Where documents come from: files and tasks."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.calibration.local import file_of
from pipeline.config.calibration import Corpus
from pipeline.errors import UserError
from pipeline.registry import CORPORA

ROWS = [{"text": "one  two", "id": 1}, {"text": "drei", "id": 2}]


def documents(source, **changes):
    kind, _, where = source.partition(":")
    return list(CORPORA.load(kind).documents(where, Corpus(source=source, **changes)))


@pytest.fixture
def files(tmp_path):
    """The same rows in each format."""
    lines = [json.dumps(row) for row in ROWS]
    (tmp_path / "a.jsonl").write_text(f"{lines[0]}\n\n{lines[1]}\n", encoding="utf-8")
    (tmp_path / "a.txt").write_text("one  two\n\ndrei\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    return tmp_path


@pytest.mark.parametrize("ending", ["jsonl", "txt", "parquet"])
def test_each_format_gives_the_same_documents(files, ending):
    assert documents(f"path:{files}/a.{ending}") == ["one  two", "drei"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_another_field_may_hold_the_text(files, ending):
    assert documents(f"path:{files}/a.{ending}", field="id") == ["1", "2"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_missing_field_is_told_with_those_there_are(files, ending):
    with pytest.raises(UserError, match=rf"a\.{ending}.*: no field 'body'; it has id, text"):
        documents(f"path:{files}/a.{ending}", field="body")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_empty_field_is_refused_or_left_out_and_never_the_word_none(files, ending):
    rows = [{"text": "one"}, {"text": None}]
    (files / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), files / "b.parquet")
    try:
        assert documents(f"path:{files}/b.{ending}") == ["one"]
    except UserError as refused:
        assert f"b.{ending}" in str(refused)


@pytest.mark.parametrize("line", ['{"text": "x"', "plain words", '["x"]', '"text"', "7"])
def test_a_line_that_is_no_json_mapping_is_refused_by_file_and_line(files, line):
    (files / "bad.jsonl").write_text('{"text": "one"}\n' + line + "\n")
    with pytest.raises(UserError, match=r"bad\.jsonl, line 2: "):
        documents(f"path:{files}/bad.jsonl")


def test_a_damaged_parquet_file_is_refused_by_name(files):
    (files / "bad.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(UserError, match=r"bad\.parquet"):
        documents(f"path:{files}/bad.parquet")


def test_another_ending_is_refused_with_those_allowed(files):
    (files / "a.csv").write_text("x")
    with pytest.raises(UserError, match=r"a\.csv: give \.jsonl, \.parquet or \.txt"):
        documents(f"path:{files}/a.csv")


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UserError, match="/nowhere/a.txt does not exist"):
        documents("path:/nowhere/a.txt")


def test_an_unknown_built_in_corpus_gets_the_nearest_name():
    with pytest.raises(UserError, match="unknown built-in corpus 'reasonin'. Did you mean 'reason"):
        file_of("builtin:reasonin")


def test_the_built_in_corpus_has_documents():
    assert len(documents("builtin:reasoning")) == 4500


def test_a_tasks_training_split_gives_prompt_and_target(tmp_path):
    definition = {
        "task": "sums",
        "dataset_kwargs": {"data_files": {"test": "test.jsonl", "train": "train.jsonl"}},
        "doc_to_text": "Q: {{q}} A:",
        "doc_to_target": "a",
    }
    (tmp_path / "sums.yaml").write_text(yaml.safe_dump(definition))
    (tmp_path / "train.jsonl").write_text('{"q": "1 + 1", "a": "2"}\n{"q": "2 + 2", "a": "4"}\n')
    found = documents(f"task:{tmp_path}/sums.yaml")
    assert found == ["Q: 1 + 1 A: 2", "Q: 2 + 2 A: 4"]


def test_a_task_without_a_training_split_is_refused():
    with pytest.raises(UserError, match="task chain has no train split; it has: test"):
        documents("task:chain")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"one\n\ntwo \xff\n", "a.txt, line 3: a text holds .* the byte 0xff"),
        (
            "a.txt",
            b"one\ntwo \0\n",
            r"a.txt, line 2: a text holds '\\x00', which is not a character",
        ),
        ("a.txt", "one".encode("utf-16"), "a.txt, line 1: a text holds"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\\ud83d"}\n', r"a.jsonl, line 2: .*'\\ud83d'"),
        ("a.jsonl", b'{"text": "a\\u0000"}\n', r"a.jsonl, line 1: .*'\\x00'"),
    ],
)
def test_characters_that_are_none_are_refused_by_file_and_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        documents(f"path:{tmp_path}/{name}")


def test_characters_that_are_none_are_refused_by_row_of_a_parquet_file(tmp_path):
    rows = [{"text": "one"}, {"text": None}, {"text": "two\0"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a.parquet, row 3: a text holds '\\x00'"):
        documents(f"path:{tmp_path}/a.parquet")


def test_a_whole_emoji_and_another_fields_half_are_taken(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83d\\ude00", "id": "\\ud83d"}\n')
    assert documents(f"path:{tmp_path}/a.jsonl") == ["\N{GRINNING FACE}"]


def test_a_damaged_schema_is_refused_by_name(files):
    """Each byte of the file's end, where the schema is, changed in turn."""
    whole = (files / "a.parquet").read_bytes()
    for place in range(len(whole) - 500, len(whole), 7):
        (files / "bad.parquet").write_bytes(
            whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
        )
        try:
            documents(f"path:{files}/bad.parquet")
        except UserError as refused:
            assert str(refused).startswith("bad.parquet") and "\n" not in str(refused)


@pytest.fixture
def package(files, wheels):
    """The source of a file in a package that has been fetched, and the file's digest."""
    data = (files / "a.jsonl").read_bytes()
    wheels("rows", version="2.0", **{"rows/a.jsonl": data})
    return "package:rows==2.0/rows/a.jsonl", hashlib.sha256(data).hexdigest()


def test_a_file_in_a_package_gives_the_same_documents(files, package):
    source, digest = package
    assert documents(source) == documents(f"path:{files}/a.jsonl")
    assert documents(source, field="id", sha256=digest) == ["1", "2"]


def test_the_digest_of_a_packages_file_pins_it(package):
    source, digest = package
    kind, where = CORPORA.load("package"), source.partition(":")[2]
    assert kind.commit(where, Corpus(source=source)) == digest
    assert kind.identity(where, Corpus(source=source)) == where
    with pytest.raises(UserError, match=f"is {digest}, and the configuration asks for"):
        documents(source, sha256="0" * 64)


def test_a_packages_file_is_checked_once_the_package_is_there(package):
    source, _ = package
    kind, where = CORPORA.load("package"), source.partition(":")[2]
    kind.check(where, Corpus(source=source))
    with pytest.raises(UserError, match="no field 'body'"):
        kind.check(where, Corpus(source=source, field="body"))
    other = "package:rows==3.0/rows/a.jsonl"
    kind.check(other.partition(":")[2], Corpus(source=other))
