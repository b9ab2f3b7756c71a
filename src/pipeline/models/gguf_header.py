"""What a GGUF file says of itself, read without its weights.

The `gguf` package reads the same, but takes half a minute for a vocabulary of 262,144 tokens, and
planning asks whenever a study is planned.
"""

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import IO, Any

from pipeline.errors import UserError

_MAGIC = b"GGUF"
#: Versions of the format whose numbers have 64 bits and are little-endian.
_VERSIONS = (2, 3)
#: The format's numbers of types -> how they lie in the file.
_NUMBERS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q",
    12: "<d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
#: More entries, dimensions or characters than any file has, so that damage does not ask for memory.
_MOST = 1 << 26
_MOST_DIMENSIONS = 8
#: The name of a shard, as llama.cpp's gguf-split gives it.
_SPLIT = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_SHARD = "{}-{:05d}-of-{:05d}.gguf"
_SHOWN = 4


@dataclass(frozen=True)
class Packed:
    """A tensor by the header: its shape as GGUF writes it, the fastest dimension first, and the
    format's number of its type."""

    shape: tuple[int, ...]
    kind: int

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        return prod(self.shape)


@dataclass(frozen=True)
class Header:
    """`settings` are the file's keys and values, of an array its length alone; `tensors` are its
    tensors by name."""

    settings: dict[str, Any]
    tensors: dict[str, Packed]

    @property
    def architecture(self) -> str:
        """GGUF's name of the architecture, or `none named`."""
        return str(self.settings.get("general.architecture", "none named"))

    def own(self, key: str) -> Any:
        """A setting of the architecture, for instance `block_count`; None where it is not there."""
        return self.settings.get(f"{self.architecture}.{key}")


def shards(path: Path) -> list[Path]:
    """The file, or all shards of a split one in order; UserError where one is not there."""
    if not path.is_file():
        raise UserError(f"model file {path} is not there; give a .gguf file")
    match = _SPLIT.fullmatch(path.name)
    if match is None:
        return [path]
    count = int(match["count"])
    found = [path.with_name(_SHARD.format(match["stem"], n + 1, count)) for n in range(count)]
    missing = [each.name for each in found if not each.is_file()]
    if missing:
        raise UserError(
            f"model file {path.name} is one of {count} shards, and {', '.join(missing[:_SHOWN])} "
            "is not beside it; copy or download it too"
        )
    return found


_SHARD = "{}-{:05d}-of-{:05d}.gguf"


def is_gguf(path: Path) -> bool:
    """True for a file that begins as a GGUF file does."""
    with open(path, "rb") as stream:
        return stream.read(len(_MAGIC)) == _MAGIC


def read(files: Sequence[Path]) -> Header:
    """The header of a model in one GGUF file, or in the shards of a split one; UserError for a file
    that is no GGUF file or is cut short within its header."""
    return _together([_read(path, path.stat().st_size) for path in files])


def read_open(streams: Sequence[IO[bytes]]) -> Header:
    """The header of a model in open files, each at its beginning: the one GGUF file, the shards of
    a split one, or consecutive pieces, of which the first holds the header."""
    first, *others = streams
    headers = [_checked(first)]
    for stream in others:
        begins = stream.read(len(_MAGIC)) == _MAGIC
        stream.seek(0)
        headers += [_checked(stream)] if begins else []
    return _together(headers)


def _together(headers: Sequence[Header]) -> Header:
    settings = {
        key: value for header in reversed(headers) for key, value in header.settings.items()
    }
    tensors = {name: each for header in headers for name, each in header.tensors.items()}
    return Header(settings, tensors)


@cache
def _read(path: Path, _size: int) -> Header:
    with open(path, "rb") as stream:
        return _checked(stream)


def _checked(stream: IO[bytes]) -> Header:
    try:
        return _header(stream)
    except (struct.error, ValueError, OSError) as error:
        raise UserError(
            f"{Path(stream.name).name} is not a whole GGUF file ({error}); copy or download it "
            "again"
        ) from error


def _header(stream: IO[bytes]) -> Header:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it does not begin as one")
    version = _number(stream, "<I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version} of the format, and {_VERSIONS} can be read")
    tensors, keys = _count(stream), _count(stream)
    settings: dict[str, Any] = {}
    for _ in range(keys):
        key = _text(stream)
        settings[key] = _value(stream, _number(stream, "<I"))
    found = {}
    for _ in range(tensors):
        name, dimensions = _text(stream), _number(stream, "<I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        shape = tuple(_number(stream, "<Q") for _ in range(dimensions))
        found[name] = Packed(shape, _number(stream, "<I"))
        _number(stream, "<Q")
    return Header(settings, found)


def _value(stream: IO[bytes], kind: int) -> Any:
    """A value, or for an array its length."""
    if kind == _TEXT:
        return _text(stream)
    if kind != _ARRAY:
        return _number(stream, _form(kind))
    inner, length = _number(stream, "<I"), _count(stream)
    if inner in (_TEXT, _ARRAY):
        for _ in range(length):
            _value(stream, inner)
    else:
        stream.seek(length * struct.calcsize(_form(inner)), 1)
    return length


def _form(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"a value of the unknown type {kind}")
    return _NUMBERS[kind]


def _number(stream: IO[bytes], form: str) -> Any:
    return struct.unpack(form, stream.read(struct.calcsize(form)))[0]


def _count(stream: IO[bytes]) -> int:
    count: int = _number(stream, "<Q")
    if count > _MOST:
        raise ValueError(f"a length of {count}")
    return count


def _text(stream: IO[bytes]) -> str:
    length = _count(stream)
    text = stream.read(length)
    if len(text) != length:
        raise ValueError("it ends within a text")
    return text.decode("utf-8", errors="replace")
