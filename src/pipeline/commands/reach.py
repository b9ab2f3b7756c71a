"""Questions to the world outside of this process, each with a time limit: programs, the Hub, an
index of packages."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds for one connection, and for a program that makes some.
_CONNECTION, _PROGRAM = 3, 8
#: Longest reason that is shown, in characters.
_REASON = 160


@dataclass(frozen=True)
class Answer:
    """Whether something is there and answers; `says` is what it says, or the reason that it does
    not."""

    there: bool
    says: str


@dataclass(frozen=True)
class Hub:
    """The Hub's address, whether it answers or why not, whether jobs are told not to ask it, and
    whether there is a token for what is gated."""

    address: str
    answer: Answer
    offline: bool
    token: bool


def together(
    questions: Mapping[str, tuple[Callable[[], Any], float]],
) -> tuple[dict[str, Any], dict[str, str]]:
    """(answers by name; for the other questions, by name, the reason that there is none).

    All are asked at the same time, and each has so many seconds. One that hangs does not keep the
    process from ending.
    """
    answers: dict[str, Any] = {}
    reasons = {name: f"no answer within {seconds:g} s" for name, (_, seconds) in questions.items()}

    def ask(name: str, question: Callable[[], Any]) -> None:
        try:
            answers[name] = question()
        # Whatever it is, the other questions are to be answered all the same.
        except Exception as error:
            reasons[name] = brief(f"{type(error).__name__}: {error}")

    begin = time.monotonic()
    threads = {}
    for name, (question, _) in questions.items():
        threads[name] = threading.Thread(target=ask, args=(name, question), daemon=True)
        threads[name].start()
    for name, (_, seconds) in questions.items():
        threads[name].join(max(0.0, begin + seconds - time.monotonic()))
    given = dict(answers)
    return given, {name: reason for name, reason in reasons.items() if name not in given}


def program(line: Sequence[str], seconds: float = _PROGRAM) -> Answer:
    """What a program prints. There is no answer where it is not installed, fails, or takes longer
    than `seconds`."""
    done = _run(line, seconds)
    if isinstance(done, Answer):
        return done
    if done.returncode < 0:
        return Answer(False, f"it is ended by {signal.Signals(-done.returncode).name}")
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        return Answer(False, brief(said[-1]) if said else f"it ends with {done.returncode}")
    return Answer(True, done.stdout.strip())


def hub() -> Hub:
    """The Hub as jobs would reach it: by its own library, so with its endpoint, proxies and
    certificates. It is not asked where the environment says that nothing may be."""
    from huggingface_hub import constants, get_token
    from huggingface_hub import errors as hub_errors
    from huggingface_hub.utils import get_session

    address = without_secrets(constants.ENDPOINT)
    token = get_token() is not None
    if constants.HF_HUB_OFFLINE:
        return Hub(address, Answer(False, "not asked, since HF_HUB_OFFLINE is set"), True, token)
    try:
        listed = f"{constants.ENDPOINT}/api/models"
        status = get_session().get(listed, params={"limit": 1}, timeout=_CONNECTION).status_code
    except (OSError, ValueError, RuntimeError, hub_errors.HTTPError) as error:
        reason = brief(str(error)) or type(error).__name__
        return Hub(address, Answer(False, reason), False, token)
    there = status == 200
    return Hub(address, Answer(there, "" if there else f"it answers with {status}"), False, token)


def packages(python: str = sys.executable) -> Answer:
    """Whether the `pip` of a Python sees an index, by its own configuration: it is asked for the
    versions of `pip`, and nothing is downloaded or installed."""
    line = [python, "-m", "pip", "index", "versions", "pip", "-vv", "--no-input"]
    line += ["--disable-pip-version-check", "--retries", "0", "--timeout", str(_CONNECTION)]
    done = _run(line, _PROGRAM)
    if isinstance(done, Answer):
        return done
    return Answer(True, "") if done.returncode == 0 else Answer(False, _why(done))


def brief(text: str) -> str:
    """A reason in one line of bounded length, without what may be secret and addresses of
    objects."""
    words = " ".join(re.sub(r"<[^<>]*>:? ?", "", without_secrets(text)).split())
    return words if len(words) <= _REASON else f"{words[: _REASON - 3]}..."


def without_secrets(text: str) -> str:
    """A text without users and passwords of the addresses in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def _run(line: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str] | Answer:
    """The finished program, or why there is none."""
    name = Path(line[0]).name
    try:
        return subprocess.run(
            line, capture_output=True, text=True, timeout=seconds, check=False,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        return Answer(False, f"there is no {name}")
    except subprocess.TimeoutExpired:
        return Answer(False, f"{name} gives no answer within {seconds:g} s")
    except OSError as error:
        return Answer(False, f"{name} does not run: {error.strerror}")


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """Why pip found nothing: what became of the connection, or else its last error."""
    said = (done.stdout + "\n" + done.stderr).splitlines()
    fetched = [line for line in said if "Could not fetch URL" in line]
    if fetched:
        cause = re.search(r"Caused by \w+\((.*)\)\)", fetched[-1])
        return brief(cause[1].strip("'\" ") if cause else fetched[-1].removesuffix(" - skipping"))
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return brief((errors or [line for line in said if line.strip()] or ["pip fails"])[-1])
