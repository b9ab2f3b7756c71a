"""Plain YAML: what is refused, with its line, and what stays allowed."""

import pytest

from pipeline.errors import UserError
from pipeline.store import plain_yaml


@pytest.fixture
def read(tmp_path):
    """A function that reads a text as a file."""

    def read(text):
        path = tmp_path / "a.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return plain_yaml.read(path)

    return read


def grown(times):
    """A list of ten words, and `times` lists of ten references to the one before."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, times + 1)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "the key 'c' stands in line 3 already"),
        ("a: 1\n'a': 2\n", 2, "the key 'a' stands in line 1 already"),
        ("yes: 1\ntrue: 2\n", 2, "the key 'true' stands in line 1 already"),
        ("- {a: 1, b: 2,\n   a: 3}\n", 2, "the key 'a' stands in line 1 already"),
        ("a: &a {x: 1}\nb:\n  <<: *a\n  y: 1\n  y: 2\n", 5, "the key 'y' stands in line 4"),
        ("a: &a {x: 1,\n  x: 2}\nb: {<<: *a}\n", 2, "the key 'x' stands in line 1"),
        (grown(9), 5, "more than 100,000 values, references (*) written out"),
        ("b: 1\na: &a [*a]\n", 2, "a value that refers to itself"),
        ("a: &a {b: {c: *a}}\n", 1, "a value that refers to itself"),
        ("a: " + "[" * 3000 + "]" * 3000, 1, "more than 64 mappings and lists in one another"),
        ("\n".join(" " * n + "a:" for n in range(3000)), 64, "more than 64 mappings and lists"),
        ("b: 1\na: " + "9" * 5000, 2, "a number of 5,000 digits; give at most 100"),
        ("a: 0x" + "f" * 5000, 1, "a number of 5,002 digits; give at most 100"),
        ('b: 1\na: "\\ud83d"\n', 2, r"a text holds '\ud83d', which is not a character"),
        ('a: "x\\0"\n', 1, r"a text holds '\x00', which is not a character"),
        ("b: 1\na: !!python/name:os.system x\n", 2, "python/name:os.system' makes an object"),
        ("? [1, 2]\n: 3\n", 1, "found unhashable key"),
    ],
)
def test_what_is_refused_is_told_with_its_line(read, text, line, said):
    with pytest.raises(UserError) as refused:
        read(text)
    message = str(refused.value)
    assert f"a.yaml, line {line}: " in message and said in message
    assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: [1\n", 2, "expected ',' or ']'"),
        ("a: 1\nb: \x01\n", 2, r"the character '\x01' is not allowed"),
        (b"a: 1\nb: \xff\n", 2, "the text is not UTF-8"),
        ("a: 1\nb: 2020-13-45\n", 2, "month must be in 1..12"),
        ("a: 1\nb: !!int x\n", 2, "invalid literal"),
        ("a: 1\n---\nb: 2\n", 2, "expected a single document"),
        ("a: *b\n", 1, "found undefined alias 'b'"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(read, text, line, said):
    with pytest.raises(UserError) as refused:
        read(text)
    message = str(refused.value)
    assert f"a.yaml, line {line} is not YAML: " in message and said in message
    assert "\n" not in message


def test_merged_keys_and_references_stay_allowed(read):
    assert read(
        "base: &base {x: 1, y: 2}\n"
        "one: {<<: *base, x: 3}\n"
        "two: {<<: [*base, {z: 4}]}\n"
        "three: {<<: *base, <<: {z: 5}}\n"
        "again: [*base, *base]\n"
    ) == {
        "base": {"x": 1, "y": 2},
        "one": {"x": 3, "y": 2},
        "two": {"x": 1, "y": 2, "z": 4},
        "three": {"x": 1, "y": 2, "z": 5},
        "again": [{"x": 1, "y": 2}] * 2,
    }


def test_a_mapping_that_merges_may_be_merged_itself(read):
    found = read("a: &a {<<: {x: 1}, x: 2}\nb: {<<: *a, x: 3}\n")
    assert found == {"a": {"x": 2}, "b": {"x": 3}}


def test_one_key_may_stand_in_two_mappings(read):
    assert read("- {a: 1}\n- {a: 2}\n") == [{"a": 1}, {"a": 2}]


def test_ten_thousand_levels_are_a_file(read):
    assert len(read("levels: [" + ", ".join(f"0.{n}" for n in range(10_000)) + "]")["levels"]) == (
        10_000
    )
