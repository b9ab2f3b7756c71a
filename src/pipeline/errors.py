"""The error that a user can act on."""

import contextlib
from collections.abc import Iterator


class UserError(ValueError):
    """Wrong input, told in one message: what was given, what is allowed, what to do next.

    The command line and the jobs print its text without a traceback.
    """


@contextlib.contextmanager
def at(key: str) -> Iterator[None]:
    """Put a configuration key's path in front of a UserError raised in the block."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{key}: {error}") from error
