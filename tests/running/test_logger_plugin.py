"""What the logger plugin writes of Snakemake's messages."""

import json
import logging
from types import SimpleNamespace

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_cold_neurons import LogHandler, LogHandlerSettings


@pytest.fixture
def handler(tmp_path):
    """A function: place of the events -> handler."""
    return lambda path: LogHandler(SimpleNamespace(), LogHandlerSettings(path=str(path)))


def told(event, **facts):
    record = logging.LogRecord("snakemake", logging.INFO, "", 0, "text", (), None)
    vars(record).update(event=event, **facts)
    return record


JOB = {
    "jobid": 4, "rule_name": "fit", "output": ["results/x/fit/a/plan.json", "more"],
    "log": ["results/logs/x.log (check log file(s) for error details)"], "reason": "Missing: a",
}  # fmt: skip


def test_events_become_lines_and_messages_none(handler, tmp_path):
    path = tmp_path / "new" / "events.jsonl"
    made = handler(path)
    made.emit(told(LogEvent.WORKFLOW_STARTED))
    made.emit(told(LogEvent.RUN_INFO, stats={"fit": 2, "total": 2}))
    made.emit(told(LogEvent.JOB_INFO, **JOB))
    made.emit(told(LogEvent.SHELLCMD, shellcmd="x"))
    made.emit(logging.LogRecord("snakemake", logging.ERROR, "", 0, "words", (), None))
    made.emit(told(LogEvent.JOB_ERROR, **JOB))
    made.emit(told(LogEvent.JOB_FINISHED, job_id=5))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    times = [line.pop("time") for line in lines]
    assert times == sorted(times)
    log = ["results/logs/x.log"]
    assert lines == [
        {"event": "workflow_started"},
        {"event": "run_info", "jobs": {"fit": 2, "total": 2}},
        {"event": "job_info", "job": 4, "rule": "fit", "folder": "results/x/fit/a", "log": log,
         "reason": "Missing: a"},
        {"event": "job_error", "job": 4, "rule": "fit", "log": log},
        {"event": "job_finished", "job": 5},
    ]  # fmt: skip


@pytest.mark.parametrize("made", [True, False])
def test_the_page_is_named_where_nothing_is_to_do(tmp_path, capsys, made):
    page = tmp_path / "index.html"
    if made:
        page.touch()
    handler = LogHandler(SimpleNamespace(), LogHandlerSettings(page=str(page)))
    for words in ("Nothing to be done (all requested files are present).", "something else"):
        handler.emit(logging.LogRecord("snakemake", logging.INFO, "", 0, words, (), None))
    wanted = f"nothing is left to do\nthe page: {page}\n" if made else ""
    assert capsys.readouterr().out == wanted


def test_a_full_disk_costs_events_and_no_words(handler, capfd):
    made = handler("/dev/full")
    made.emit(told(LogEvent.WORKFLOW_STARTED))
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_is_an_event(handler, tmp_path):
    made = handler(tmp_path / "events.jsonl")
    text = "Terminating processes on user request, this might take some time."
    made.emit(logging.LogRecord("snakemake", logging.INFO, "", 0, text, (), None))
    assert json.loads((tmp_path / "events.jsonl").read_text())["event"] == "interrupted"


def test_a_line_that_a_kill_cut_off_takes_no_later_event_with_it(handler, tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "job_in')
    handler(path).emit(told(LogEvent.WORKFLOW_STARTED))
    handler(path).emit(told(LogEvent.WORKFLOW_STARTED))
    cut, *events = path.read_text().splitlines()
    assert cut == '{"event": "job_in'
    assert [json.loads(line)["event"] for line in events] == ["workflow_started"] * 2
