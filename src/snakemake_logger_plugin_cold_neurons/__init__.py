"""Snakemake's events as lines of JSON in a file, and a progress bar on a terminal.

`python -m pipeline plan` and `status` read the file; `python -m pipeline run` asks for it.
"""

import json
import logging
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Where the events go, and whether a bar is shown."""

    path: Optional[str] = field(  # noqa: UP045 - the plugin interface calls the type
        default=None, metadata={"help": "file that events are appended to"}
    )
    bar: bool = field(default=False, metadata={"help": "show a progress bar instead of messages"})
    page: Optional[str] = field(  # noqa: UP045
        default=None, metadata={"help": "file that is named where nothing is to be done"}
    )


class LogHandler(LogHandlerBase):
    """Writes one line an event, complete when it is written, so that a reader may look any time."""

    settings: LogHandlerSettings

    def __post_init__(self) -> None:
        self._path = Path(self.settings.path) if self.settings.path else None
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _end_last_line(self._path)
        self._bar = _Bar() if self.settings.bar else None

    def emit(self, record: logging.LogRecord) -> None:
        """Called for every message of Snakemake's."""
        try:
            event = getattr(record, "event", None)
            name = str(getattr(event, "value", event) or "")
            if not name and "on user request" in str(record.msg):
                name = "interrupted"
            facts = _FACTS.get(name, lambda _: None)(record)
            if facts is not None and self._path:
                line = json.dumps({"time": time.time(), "event": name, **facts})
                # A full disk is told by the jobs; events are not worth a word of their own.
                with suppress(OSError), open(self._path, "a", encoding="utf-8") as stream:
                    stream.write(line + "\n")
            if self._bar:
                self._bar.show(name, facts or {}, record)
            if not name and "Nothing to be done" in str(record.msg):
                self._tell_page()
        except Exception:
            self.handleError(record)

    def _tell_page(self) -> None:
        # What ends a run tells it otherwise, and does not come where there is no run.
        if self.settings.page and Path(self.settings.page).exists():
            sys.stdout.write(f"nothing is left to do\nthe page: {self.settings.page}\n")
            sys.stdout.flush()

    def close(self) -> None:
        """End the bar."""
        if self._bar:
            self._bar.end()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """With a bar, in place of Snakemake's own messages."""
        return self.settings.bar

    @property
    def writes_to_file(self) -> bool:
        """False: Snakemake means files of messages, which it names to the user at the end."""
        return False

    @property
    def has_filter(self) -> bool:
        """True: quietness is for messages, and every event counts."""
        return True

    @property
    def has_formatter(self) -> bool:
        """True: nothing is formatted."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """False."""
        return False


def _end_last_line(path: Path) -> None:
    """End the line that a kill cut off, or the next event would be lost with it."""
    with suppress(OSError), open(path, "rb+") as stream:
        if stream.seek(0, os.SEEK_END):
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")


class _Bar:
    """How many jobs are done, which rules are at work, and what goes wrong, on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed
        from rich.progress import TimeRemainingColumn as Remaining

        self.console = Console(stderr=True)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("jobs"), Elapsed(), Remaining())
        self.progress = Progress(
            *columns, TextColumn("{task.description}"), console=self.console, transient=True
        )
        self.task: Any = None
        self.rules: dict[int, str] = {}
        self.interrupted = False

    def show(self, name: str, facts: dict[str, Any], record: logging.LogRecord) -> None:
        """Take note of one event or message."""
        if name == "run_info":
            self.task = self.progress.add_task("", total=facts["jobs"].get("total", 0))
            self.progress.start()
        elif name == "job_info":
            self.rules[facts["job"]] = facts["rule"]
        elif name in ("job_finished", "job_error"):
            self.rules.pop(facts["job"], None)
            if self.task is not None and name == "job_finished":
                self.progress.advance(self.task)
        if name == "interrupted":
            self.interrupted = True
            self.console.print("interrupted; the same command goes on")
        if name == "job_error" and not self.interrupted:
            log = f"; its log: {facts['log'][0]}" if facts["log"] else ""
            self.console.print(f"rule {facts['rule']} failed{log}", markup=False, soft_wrap=True)
        elif not name and record.levelno >= logging.WARNING and record.msg:
            self.console.print(record.getMessage(), markup=False, soft_wrap=True)
        if self.task is not None:
            working = ", ".join(sorted(set(self.rules.values())))
            self.progress.update(self.task, description=working)

    def end(self) -> None:
        """Take the bar away."""
        self.progress.stop()
        sys.stderr.flush()


def _run(record: Any) -> dict[str, Any]:
    return {"jobs": {rule: int(count) for rule, count in record.stats.items()}}


def _job(record: Any) -> dict[str, Any]:
    return {
        "job": record.jobid,
        "rule": record.rule_name,
        "folder": record.output[0].rpartition("/")[0] if record.output else "",
        "log": [str(log).partition(" (")[0] for log in record.log],
        "reason": record.reason,
    }


def _error(record: Any) -> dict[str, Any]:
    return {
        "job": record.jobid,
        "rule": record.rule_name,
        "log": [str(log).partition(" (")[0] for log in record.log],
    }


_FACTS = {
    "workflow_started": lambda record: {},
    "interrupted": lambda record: {},
    "run_info": _run,
    "job_info": _job,
    "job_finished": lambda record: {"job": record.job_id},
    "job_error": _error,
}
