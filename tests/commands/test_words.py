"""Plans, states and leftovers as a person reads them."""

from collections import Counter
from pathlib import Path

from pipeline.commands import words
from pipeline.commands.plan import Error, Forecast, StageForecast
from pipeline.commands.unused import Unused


def plan(**changes):
    stages = {
        "fit": StageForecast(3, 2, Counter({"missing output files": 2}), 0.5, 0.0, 452.0, 1.25),
        "evaluate": StageForecast(
            4, 4, Counter({"params have changed": 4}), 0.0, 30.0, 16_500.0, 20.0
        ),
        "analyse": StageForecast(1, 0),
    }
    facts = {
        "study": "mine", "stages": stages, "unknown_models": [], "unmeasured": [], "past_jobs": 7,
        "errors": [Error("old", 1.2, 1.0, True)], "cores": 2, "memory_megabytes": 24_000.0,
        "wall_hours": 20.0,
    }  # fmt: skip
    return Forecast(**{**facts, **changes})


def test_a_plan_by_hand():
    lines = words.of_plan(plan()).splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["stage", "jobs", "to", "run", "core", "time", "GPU", "time", "peak", "MB", "disk", "MB",
         "why"],
        ["fit", "3", "2", "30", "min", "452", "1.2", "missing", "output", "files", "(2)"],
        ["evaluate", "4", "4", "30.0", "h", "16,500", "20.0", "params", "have", "changed", "(4)"],
    ]  # fmt: skip
    assert lines[3].split() == ["analyse", "1", "0"]
    assert "study 'mine': 6 of 8 jobs to run" in lines
    estimate = "estimate: 30 min of one core and 30.0 h of one GPU; about 20.0 h on 2 at once"
    assert f"{estimate}; 21.2 MB of results" in lines
    assert "  jobs of old, estimated from other studies': 72 min, took 60 min (+20%)" in lines


def test_a_plan_says_what_it_does_not_know():
    text = words.of_plan(plan(unknown_models=["llama"], unmeasured=["evaluate on cuda"]))
    assert "never run here: evaluate on cuda" in text
    assert "size unknown, taken as 8 billion parameters: llama" in text
    text = words.of_plan(plan(past_jobs=0, errors=[], cores=None, wall_hours=None))
    assert "nothing has run here yet" in text and "at once" not in text


def test_a_plan_names_jobs_that_may_need_more_memory_than_there_is():
    large = StageForecast(
        4, 4, Counter({"missing output files": 4}), 1.0, 0.0, 16_540.0, 1.0,
        largest="results/mine/evaluate/m/drop_cold/0.5/0", too_large=3,
    )  # fmt: skip
    text = words.of_plan(plan(stages={"evaluate": large}, memory_megabytes=8_000.0))
    assert (
        "job results/mine/evaluate/m/drop_cold/0.5/0 is expected to need 16.5 GB of memory and the "
        "machine has 8.0 GB: it runs with no other beside it, and the system may end it\n"
        "  2 other jobs of evaluate, too, may need more than the machine has\n"
    ) in text
    large.too_large = 1
    text = words.of_plan(plan(stages={"evaluate": large}, memory_megabytes=8_000.0))
    assert "expected to need 16.5 GB" in text and "other job" not in text
    assert "expected to need" not in words.of_plan(plan())


def test_leftovers_by_hand():
    items = [Unused(Path("results/a"), 2_000_000), Unused(Path("results/b"), 500_000)]
    listed, removed = words.of_unused(items, False), words.of_unused(items, True)
    assert listed.splitlines()[0].split() == ["2.00", "MB", "results/a"]
    assert "unused: 2 folders and files, 2.50 MB" in listed and "--remove" in listed
    assert "removed: 2 folders and files, 2.50 MB" in removed and "--remove" not in removed
    assert words.of_unused([], False) == "unused: 0 folders and files, 0.00 MB\n"
