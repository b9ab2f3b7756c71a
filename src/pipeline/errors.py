"""The error that a user can act on, and how errors are worded. No result depends on this module."""

import contextlib
import difflib
import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path


class UserError(ValueError):
    """Wrong input, explained in one message: what was given, what is allowed, what to do next.

    The command line and the jobs print its text without a traceback.
    """


class Unreached(UserError):
    """What was asked for is not on this machine, and its source cannot be reached now."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """A sentence for an unknown name, with the nearest known one and the whole list."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}."


@contextlib.contextmanager
def at(key: str) -> Iterator[None]:
    """Put a configuration key's path in front of a UserError raised in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


@contextlib.contextmanager
def putting_together(shards: Sequence[Path]) -> Iterator[None]:
    """Put the folder of the shards, which is two levels above each file, in front of a UserError
    raised in the block; do nothing where there are no shards."""
    with at(str(shards[0].parents[1])) if shards else contextlib.nullcontext():
        yield


#: Why a file could not be written although nothing is wrong with the study, and what to do.
_PLACES = {
    errno.ENOSPC: "the disk is full. Make room there",
    errno.EDQUOT: "the disk quota is used up. Make room there, or ask for more",
    errno.EROFS: "it is read-only. Make it writable, or give another folder with --directory",
    errno.EACCES: "permission is denied. Permit it",
    errno.ENOTDIR: "it is not a folder. Give another with --directory",
    errno.EEXIST: "it is not a folder. Give another with --directory",
}


def unwritable(path: Path | str, error: BaseException) -> UserError | None:
    """The UserError to raise when `error`, raised while `path` was written, is due to the disk or
    folder.

    None for any other error. Libraries that do their own writing give the system's message without
    its error number, so the message is searched as well.
    """
    if isinstance(error, UserError):
        return None
    number = getattr(error, "errno", None)
    for code, told in _PLACES.items():
        if number == code or (number is None and os.strerror(code) in str(error)):
            return UserError(
                f"{path}: {told}, and run the same command again; it goes on where it stopped"
            )
    return None


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an error due to the disk or folder that the block writes to into a UserError."""
    try:
        yield
    except Exception as error:
        if told := unwritable(path, error):
            raise told from error
        raise
