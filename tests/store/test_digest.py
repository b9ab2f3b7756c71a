"""Digests of files, values and folders."""

import os

from pipeline.store import digest


def test_known_digest_of_no_bytes_and_32_hexadecimal_digits():
    # BLAKE2b with 16 bytes of output, of the empty string.
    assert digest.of_bytes(b"") == "cae66941d9efbd404e4d88758ea67670"


def test_key_order_does_not_count_and_values_do():
    assert digest.of_value({"a": 1, "b": [2, 3]}) == digest.of_value({"b": [2, 3], "a": 1})
    assert digest.of_value({"a": 1}) != digest.of_value({"a": 2})
    assert digest.of_value([1, 2]) != digest.of_value([2, 1])


def test_a_file_longer_than_one_chunk_has_the_digest_of_its_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "_CHUNK", 4)
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    assert digest.of_file(path) == digest.of_bytes(b"0123456789")


def test_files_count_by_content_and_by_name_below_the_root_only(tmp_path):
    def folder(name, **files):
        root = tmp_path / name
        root.mkdir()
        for file, text in files.items():
            (root / file).write_text(text)
        return digest.of_files(root, root.iterdir())

    first = folder("one", a="x", b="y")
    assert first == folder("two", b="y", a="x")
    assert first != folder("renamed", a="x", c="y")
    assert first != folder("edited", a="x", b="z")
    assert first != folder("swapped", a="y", b="x")


def test_small_files_of_a_folder_count_by_content_not_by_time(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    before = digest.identity_of_files(tmp_path, tmp_path.iterdir())
    os.utime(path, (1, 1))
    assert digest.identity_of_files(tmp_path, tmp_path.iterdir()) == before
    path.write_text("[]")
    assert digest.identity_of_files(tmp_path, tmp_path.iterdir()) != before


def test_large_files_of_a_folder_count_by_start_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "LARGE_FILE", 8)
    path = tmp_path / "weights"
    path.write_bytes(b"0123456789")
    os.utime(path, ns=(5, 5))
    before = digest.identity_of_files(tmp_path, tmp_path.iterdir())
    os.utime(path, ns=(6, 6))
    touched = digest.identity_of_files(tmp_path, tmp_path.iterdir())
    path.write_bytes(b"01234567890")
    os.utime(path, ns=(6, 6))
    assert len({before, touched, digest.identity_of_files(tmp_path, tmp_path.iterdir())}) == 3
