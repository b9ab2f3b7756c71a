"""Corpora of a few lines, and a stand-in for the Hub's datasets on the loopback address."""

import json
import re
from http.server import BaseHTTPRequestHandler

import pytest

from pipeline.config.calibration import Corpus

_ASKED = re.compile(
    r"^(?:/api)?/datasets/(?P<name>[^/]+/[^/]+)(?:/(?P<kind>revision|tree|paths-info|resolve)"
    r"/(?P<revision>[^/]+)(?:/(?P<file>.*))?)?$"
)


class Handler(BaseHTTPRequestHandler):
    """Answers for `server.datasets`: name -> an error, or what its revisions hold.

    A commit holds {file: content}, a branch or tag the name of a commit.
    """

    def log_message(self, *_arguments):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.answer()

    def answer(self):
        asked = _ASKED.match(self.path.partition("?")[0])
        content = self.server.datasets.get(asked["name"]) if asked else None
        if content is None:
            return self.refuse(404, "RepoNotFound")
        if isinstance(content, tuple):
            return self.refuse(*content)
        revision = asked["revision"] or "main"
        commit = revision if isinstance(content.get(revision), dict) else content.get(revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound")
        self.server.revisions.append(revision)
        self.found(asked, commit, content[commit])

    def found(self, asked, commit, files):
        if asked["kind"] in (None, "revision"):
            listed = [{"rfilename": name} for name in files]
            return self.json({"id": asked["name"], "sha": commit, "siblings": listed})
        if asked["kind"] in ("tree", "paths-info"):
            return self.json(
                [
                    {"type": "file", "path": name, "oid": "0" * 40, "size": len(data)}
                    for name, data in files.items()
                ]
            )
        if asked["file"] not in files:
            return self.refuse(404, "EntryNotFound")
        data = files[asked["file"]]
        self.send(200, data, **{"ETag": '"0"', "X-Repo-Commit": commit})

    def json(self, value):
        self.send(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def refuse(self, status, code):
        self.send(status, b'{"error": "no"}', **{"X-Error-Code": code})

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def text(tmp_path):
    """A function that writes lines and returns a corpus of them."""

    def write(*lines, **changes):
        path = tmp_path / "text.txt"
        path.write_text("".join(line + "\n" for line in lines))
        return Corpus(source=f"path:{path}", **{"sequence_length": 4, "tokens": 1000, **changes})

    return write


@pytest.fixture
def hub(hub_on_loopback):
    """(the stand-in, environment in which it is the Hub)."""
    return hub_on_loopback(Handler, datasets={}, revisions=[])
