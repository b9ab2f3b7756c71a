"""JSONL rows with their line numbers, and what a broken line is told by."""

import json

import pytest

from pipeline.errors import UserError
from pipeline.store.jsonl import rows


def test_rows_come_with_the_lines_they_stand_in(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\r\n\n  \n{"a": 2}')
    assert list(rows(path)) == [(1, {"a": 1}), (4, {"a": 2})]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b"])
def test_a_line_ends_at_a_newline_alone(tmp_path, mark):
    path = tmp_path / "a.jsonl"
    row = {"text": f"one{mark}two"}
    # JSON allows all but control characters in a string as they are.
    line = json.dumps(row, ensure_ascii=mark < " ")
    path.write_text(f"{line}\n{line}\n", encoding="utf-8")
    assert list(rows(path)) == [(1, row), (2, row)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": 1', "not JSON"),
        (b"plain words", "not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'["a"]', "holds no fields"),
        (b"7", "holds no fields"),
    ],
)
def test_a_line_that_is_no_object_is_told_by_file_and_line(tmp_path, line, said):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"a": 1}\n\n' + line + b"\n")
    with pytest.raises(UserError, match=rf"^bad\.jsonl, line 3: {said}.*give one object a line"):
        list(rows(path))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"a": "\\ud83d"}', r"a text holds '\ud83d', which is not a character"),
        (b'{"a": [{"b": "\\u0000"}]}', r"a text holds '\x00', which is not a character"),
        (b'{"\\udc00": 1}', r"a text holds '\udc00', which is not a character"),
        (b'{"a": "\xed\xa0\xbd"}', r"a text holds '\ud83d', which is not a character"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    ],
)
def test_what_no_text_holds_is_told_by_file_and_line(tmp_path, line, said):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "\\ud83d\\ude00"}\n' + line)
    with pytest.raises(UserError) as refused:
        list(rows(tmp_path / "a.jsonl"))
    assert str(refused.value).startswith("a.jsonl, line 2: ") and said in str(refused.value)


def test_fields_that_are_not_asked_for_may_hold_anything(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"a": "x", "b": "\\ud83d"}\n')
    assert [row["a"] for _, row in rows(tmp_path / "a.jsonl", ["a"])] == ["x"]
