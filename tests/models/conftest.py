"""A stand-in for the Hub on the loopback address."""

import json
from http.server import BaseHTTPRequestHandler

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Answers for the repositories of `server.repositories`: an error, or a folder's files."""

    def log_message(self, *_arguments):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = self.path.partition("?")[0]
        for name, content in self.server.repositories.items():
            if path.startswith((f"/api/models/{name}/", f"/{name}/resolve/")):
                if isinstance(content, tuple):
                    return self.send(content[0], b'{"error": "no"}', **{"X-Error-Code": content[1]})
                return self.file(
                    content, path.removeprefix("/api/models").removeprefix(f"/{name}/")
                )
        return self.send(404, b'{"error": "no"}', **{"X-Error-Code": "RepoNotFound"})

    def file(self, folder, asked):
        kind, _, rest = asked.partition("/")
        revision, _, name = rest.partition("/")
        if revision not in ("main", COMMIT):
            return self.send(404, b'{"error": "no"}', **{"X-Error-Code": "RevisionNotFound"})
        files = sorted(p.name for p in folder.iterdir())
        if kind == "revision":
            listed = [{"rfilename": file} for file in files]
            return self.send(
                200, json.dumps({"id": "x/y", "sha": COMMIT, "siblings": listed}).encode()
            )
        if kind == "tree":
            listed = [
                {"type": "file", "path": f, "oid": "0" * 40, "size": (folder / f).stat().st_size}
                for f in files
            ]
            return self.send(200, json.dumps(listed).encode())
        if name not in files:
            return self.send(404, b"", **{"X-Error-Code": "EntryNotFound"})
        data = (folder / name).read_bytes()
        return self.send(200, data, ETag=f'"{len(data)}-{name}"', **{"X-Repo-Commit": COMMIT})

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def hub(hub_on_loopback):
    """(repositories to fill, environment in which the Hub is this stand-in)."""
    server, environment = hub_on_loopback(Handler, repositories={})
    return server.repositories, environment
