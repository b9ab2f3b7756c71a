"""Copies of the project that tests may edit, and real runs of its studies."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
_PARTS = (
    "Snakefile",
    "config.yaml",
    "configs",
    "profiles",
    "resources",
    "rules",
    "src",
    "workflow",
)


@dataclass
class Copy:
    """The project in a folder of its own, and a folder that its results go to."""

    folder: Path
    work: Path

    def command(self, *arguments: str, config: str = "configs/tiny.yaml") -> list[str]:
        """The launcher's command line."""
        line = [sys.executable, "-m", "pipeline", "run", "--config", str(self.folder / config)]
        return [*line, "--directory", str(self.work), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """This process' environment with the copy's package in front of the installed one."""
        return {**os.environ, "PYTHONPATH": str(self.folder / "src")}

    def run(self, *arguments: str, config: str = "configs/tiny.yaml") -> str:
        """Run the launcher to its end; what it printed. Fails the test when it fails."""
        done = subprocess.run(
            self.command(*arguments, config=config),
            env=self.environment, cwd=self.work, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def planned(self, config: str = "configs/tiny.yaml") -> dict[str, list[str]]:
        """Rules that a run would execute, each with the first output of every job."""
        text = self.run("--dry-run", "--quiet", "host", config=config)
        jobs: dict[str, list[str]] = {}
        for name, body in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n?)*)", text, re.M):
            output = re.search(r"^    output: ([^,\n]*)", body, re.M)
            jobs.setdefault(name, []).append(output.group(1) if output else "")
        jobs.pop("all", None)
        return jobs

    def artifacts(self) -> dict[str, bytes]:
        """Relative path -> contents of all results; no timings, logs or locks."""
        results = self.work / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file()
            and path.relative_to(results).parts[0] not in ("timing", "logs")
            and not path.name.startswith(".")
        }

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file of the copy."""
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))


def copied(folder: Path) -> Copy:
    """A fresh copy with an empty working folder beside it."""
    for part in _PARTS:
        source = PROJECT / part
        ignore = shutil.ignore_patterns("__pycache__")
        if source.is_dir():
            shutil.copytree(source, folder / "project" / part, ignore=ignore)
        else:
            (folder / "project").mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / "project" / part)
    work = folder / "work"
    work.mkdir()
    return Copy(folder / "project", work)


@pytest.fixture
def fresh(tmp_path: Path) -> Copy:
    """A copy that has run nothing."""
    return copied(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy whose tiny study has run; shared, so tests leave it as they found it."""
    copy = copied(tmp_path_factory.mktemp("finished"))
    copy.run()
    return copy


@pytest.fixture
def edited(finished: Copy) -> Iterator[Copy]:
    """The finished copy; files that a test edits or deletes are put back afterwards."""
    kept = finished.folder.parent / "kept"
    shutil.copytree(finished.folder, kept / "project")
    shutil.copytree(finished.work, kept / "work", copy_function=shutil.copy2)
    yield finished
    for name, folder in (("project", finished.folder), ("work", finished.work)):
        shutil.rmtree(folder)
        shutil.move(kept / name, folder)
    kept.rmdir()
