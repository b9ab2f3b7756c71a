"""Templates of task files: data from others, filled in in a sandbox with limits on time and
size."""

import contextlib
import math
import resource
import signal
import threading
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

#: What one text may take: seconds of computing, bytes of memory, and characters written.
SECONDS = 2.0
MEMORY = 1 << 28
CHARACTERS = 1_000_000
#: Filters and names that are not available. A template must write the same text every time; and an
#: integer to a power of 10^9 is one operation, which no limit of time interrupts.
_FILTERS = {"random", "round"}
_NAMES = {"lipsum"}
_STATM = Path("/proc/self/statm")


class _TooLong(BaseException):
    """The time is up. Not an Exception, since Jinja ignores those when it folds constants."""


@cache
def compiled(text: str) -> Any:
    """The template in a text; UserError where it is not a template."""
    from jinja2 import TemplateError

    try:
        with _limits():
            return _environment().from_string(text)
    except (TemplateError, RecursionError) as error:
        raise UserError(f"{_short(text)} is not a template: {error}") from error


def filled(template: Any, fields: Mapping[str, Any]) -> str:
    """A template's text for the given fields; UserError where they do not fit it, or a limit is
    exceeded."""
    try:
        with _limits():
            text = str(template.render(fields))
    except UserError:
        raise
    # A template's expressions can raise whatever Python's can.
    except Exception as error:
        raise UserError(str(error).rstrip(".")) from error
    if len(text) > CHARACTERS:
        raise UserError(f"writes {len(text):,} characters; a text may have {CHARACTERS:,}")
    return text


def as_text(value: Any) -> str:
    """A text, a number or a truth value as text; UserError for null, for what holds other values,
    and for what no file can hold."""
    if isinstance(value, float) and not math.isfinite(value) or value is None:
        raise UserError(f"the value is {'null' if value is None else value}; {_WANTED}")
    if not isinstance(value, str | int | float):
        raise UserError(f"the value is {_short(value)}; {_WANTED}")
    text = str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{_short(text)} holds half of a character of two parts (a lone surrogate); write "
                "the whole character, or leave it out"
            ) from error
    return text


_WANTED = "give a text or a number"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@cache
def _environment() -> Any:
    """Jinja's environment, with the harness's settings but sandboxed."""
    from jinja2 import StrictUndefined, Undefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

    class Environment(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(["**"])

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            raise SecurityError(f"{operator} is not computed in a template")

    def written(value: Any) -> Any:
        # Strict undefined values raise an error of their own when they are rendered.
        return value if isinstance(value, Undefined) else as_text(value)

    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, finalize=written
    )
    for name in _FILTERS:
        del environment.filters[name]
    for name in _NAMES:
        del environment.globals[name]
    return environment


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    try:
        with _time(), _memory():
            yield
    except _TooLong:
        raise UserError(f"the template computes for more than {SECONDS:g} seconds") from None
    except MemoryError:
        raise UserError(f"the template takes more than {MEMORY >> 20} MB of memory") from None


@contextlib.contextmanager
def _time() -> Iterator[None]:
    """Raise _TooLong after SECONDS of the process' own time; no effect outside the main thread,
    where Python handles no signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: Any) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    """Have the system refuse more than MEMORY beyond what the process has; no effect on systems
    that do not report that, such as macOS."""
    if not _STATM.exists():
        yield
        return
    pages = int(_STATM.read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = pages * resource.getpagesize() + MEMORY
    if soft == resource.RLIM_INFINITY or most < soft:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
