"""Questions to the outside: what is told where something answers, refuses, or never answers."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline.commands import reach
from pipeline.commands.reach import Answer

HUB = """
import json
from dataclasses import asdict
from pipeline.commands import reach
print(json.dumps(asdict(reach.hub())))
"""


class Listing(BaseHTTPRequestHandler):
    """Answers with the server's `status`, and keeps what it was asked, in `asked`."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_):
        pass


@pytest.fixture
def tool(tmp_path):
    """A function that writes an executable of a shell script; returns its path."""

    def write(script, name="tool"):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo slurm 24.05", Answer(True, "slurm 24.05")),
        ("echo first; echo worst >&2; exit 3", Answer(False, "worst")),
        ("echo on stdout; exit 3", Answer(False, "on stdout")),
        ("exit 3", Answer(False, "it ends with 3")),
        ("kill -ILL $$", Answer(False, "it is ended by SIGILL")),
    ],
)
def test_a_program_says_something_or_fails_for_a_reason(tool, script, expected):
    assert reach.program([tool(script)]) == expected


def test_a_program_may_be_missing_or_hang(tool, tmp_path):
    missing = reach.program([str(tmp_path / "sbatch")])
    assert missing == Answer(False, "there is no sbatch")
    hanging = reach.program([tool("exec sleep 60")], 0.2)
    assert hanging == Answer(False, "tool gives no answer within 0.2 s")


def test_a_question_that_hangs_or_fails_keeps_no_other_from_its_answer():
    released = threading.Event()
    questions = {
        "hangs": (released.wait, 0.5),
        "fails": (lambda: json.loads("{"), 60),
        "answers": (lambda: 42, 60),
        "nothing": (lambda: None, 60),
    }
    answers, reasons = reach.together(questions)
    released.set()
    assert answers == {"answers": 42, "nothing": None}
    assert reasons["hangs"] == "no answer within 0.5 s"
    assert reasons["fails"].startswith("JSONDecodeError: ") and set(reasons) == {"hangs", "fails"}


@pytest.fixture
def ask_hub(hub_on_loopback, python):
    """A function: status of the answers, environment -> (what is told of the Hub, what it was
    asked)."""

    def ask(status=200, **environment):
        server, usual = hub_on_loopback(Listing, status=status, asked=[])
        done = python(HUB, **usual | environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), server

    return ask


def test_a_hub_that_answers_is_reached_at_its_own_address(ask_hub):
    told, server = ask_hub()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    answer = {"there": True, "says": ""}
    assert told == {"address": address, "answer": answer, "offline": False, "token": False}
    ((path, _),) = server.asked
    assert path == "/api/models?limit=1"


def test_a_token_is_told_of_and_never_shown_or_sent(ask_hub):
    told, server = ask_hub(HF_TOKEN="hf_secret")
    assert told["token"] and "hf_secret" not in json.dumps(told)
    assert "hf_secret" not in str(server.asked)


def test_a_hub_that_refuses_is_not_reached(ask_hub):
    told, _ = ask_hub(status=503)
    assert told["answer"] == {"there": False, "says": "it answers with 503"}


def test_nobody_asks_a_hub_where_the_environment_says_so(ask_hub):
    told, server = ask_hub(HF_HUB_OFFLINE="1")
    assert told["offline"] and "HF_HUB_OFFLINE is set" in told["answer"]["says"]
    assert server.asked == []


def test_a_hub_where_nobody_listens_is_told_with_the_reason(ask_hub):
    told, _ = ask_hub(HF_ENDPOINT="http://someone:hf_secret@127.0.0.1:9")
    assert not told["answer"]["there"] and "refused" in told["answer"]["says"]
    assert told["address"] == "http://127.0.0.1:9" and "hf_secret" not in json.dumps(told)


def test_pip_is_asked_for_an_index_alone(tool, tmp_path):
    python = tool(f'echo "$@" > {tmp_path}/asked; echo "pip (26.1)"')
    assert reach.packages(python) == Answer(True, "")
    asked = (tmp_path / "asked").read_text()
    assert asked.startswith("-m pip index versions pip ") and "--retries 0" in asked


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("WARNING: odd\nERROR: No matching distribution found", "No matching distribution found"),
        ("/usr/bin/python: No module named pip", "/usr/bin/python: No module named pip"),
        (
            "Could not fetch URL http://me:word@a.test/simple/pip/: connection error: Pool(a): "
            "Max retries exceeded (Caused by NewConnectionError('<urllib3 object at 0x7f>: Failed "
            "to establish a new connection: [Errno 111] Connection refused')) - skipping\n"
            "ERROR: No matching distribution found",
            "Failed to establish a new connection: [Errno 111] Connection refused",
        ),
        (
            "Could not fetch URL http://me:word@a.test/simple/pip/: 403 Client Error - skipping",
            "Could not fetch URL http://a.test/simple/pip/: 403 Client Error",
        ),
        ("", "pip fails"),
    ],
)
def test_why_pip_sees_no_index(tool, tmp_path, said, reason):
    (tmp_path / "said").write_text(said)
    answer = reach.packages(tool(f"cat {tmp_path}/said >&2; exit 1"))
    assert answer == Answer(False, reason)


def test_the_pip_of_this_python_says_that_nobody_listens(monkeypatch, tmp_path):
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    answer = reach.packages(sys.executable)
    assert not answer.there and "refused" in answer.says


def test_reasons_are_short_and_hold_no_password():
    assert reach.brief("a\n b") == "a b"
    assert reach.brief("see https://me:word@host.test/x") == "see https://host.test/x"
    assert reach.brief("x" * 161) == "x" * 157 + "..."
