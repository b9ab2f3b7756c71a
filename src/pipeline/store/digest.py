"""Digests of files and values."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SOURCE_ROOT = Path(__file__).resolve().parents[2]
_CHUNK = 1 << 20
#: Above this size a file counts by name, size, time and first bytes while a study is planned.
LARGE_FILE = 64 << 20


def of_bytes(data: bytes) -> str:
    """32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def of_value(value: Any) -> str:
    """Digest of a JSON-like value; equal values with keys in another order agree."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def of_file(path: Path) -> str:
    """Digest of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def quick_of_file(path: Path) -> str:
    """Digest of a small file's bytes; of one above LARGE_FILE, its size in words."""
    size = path.stat().st_size
    return of_file(path) if size <= LARGE_FILE else f"{size} bytes"


def of_files(root: Path, paths: Iterable[Path]) -> str:
    """Digest of the files' contents and of their names relative to `root`."""
    return of_value({str(p.relative_to(root)): of_file(p) for p in sorted(paths)})


def identity_of_files(root: Path, paths: Iterable[Path]) -> str:
    """A digest that changes whenever the files do, cheap enough for planning.

    `of_files` gives the exact digest.
    """
    return of_value({str(p.relative_to(root)): identity_of_file(p) for p in sorted(paths)})


def identity_of_file(path: Path) -> str:
    """A small file's digest; for one above LARGE_FILE its size, modification time and first
    mebibyte, so that touching it makes it another file, which is safe."""
    stat = path.stat()
    if stat.st_size <= LARGE_FILE:
        return of_file(path)
    with open(path, "rb") as stream:
        head = of_bytes(stream.read(_CHUNK))
    return f"{head}/{stat.st_size}/{stat.st_mtime_ns}"
