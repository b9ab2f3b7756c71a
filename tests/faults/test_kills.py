"""Three kills of the tiny study; `make faults` makes a hundred, over all stages."""

import dataclasses
import json

import pytest

from tests.faults import kills

AIMS = [
    kills.Aim("ci/0", "evaluate", "launcher", 0.72),
    kills.Aim("ci/1", "analyse", "job", 0.55),
    kills.Aim("ci/4", "build_report", "group", 0.65),
]


@pytest.fixture(scope="module")
def ground(finished, tmp_path_factory):
    """States of the tiny study before the stages that the kills fall into."""
    made = kills.Range(finished, tmp_path_factory.mktemp("kills"))
    made.prepare({aim.stage for aim in AIMS})
    return made


@pytest.mark.workflow
@pytest.mark.parametrize("aim", AIMS, ids=lambda aim: f"{aim.stage}-{aim.fault}")
def test_the_same_command_ends_a_killed_run_with_the_bytes_of_an_undisturbed_one(ground, aim):
    trial = ground.trial(aim)
    assert trial.holds, trial


def test_every_stage_meets_every_fault_before_any_comes_again():
    stages = ["evaluate", "fit", "analyse"]
    drawn = kills.aims(stages, seed=3)
    for _ in range(2):
        turn = [next(drawn) for _ in range(9)]
        assert {(aim.stage, aim.fault) for aim in turn} == {
            (stage, fault) for stage in stages for fault in kills.FAULTS
        }
        assert all(0 <= aim.fraction < 1 for aim in turn)


def test_what_is_drawn_follows_from_the_seed_and_the_names_of_the_stages():
    def first(stages, seed):
        drawn = kills.aims(stages, seed)
        return [next(drawn) for _ in range(20)]

    assert first(["fit", "analyse"], 0) == first(["analyse", "fit"], 0)
    assert first(["fit", "analyse"], 0) != first(["fit", "analyse"], 1)


def test_the_table_counts_what_held_of_what_was_tried():
    def trial(stage, fault, identical=True, half_written=()):
        return kills.Trial("0/0", stage, fault, 1.5, ["fit"], identical, True, half_written, 9.0)

    trials = [
        trial("fit", "job"),
        trial("fit", "job", identical=False),
        trial("fit", "group", half_written=[".plan.json.7.partial"]),
        trial("analyse", "launcher"),
    ]
    assert kills.table(trials, ["fit", "analyse"]).splitlines() == [
        "| killed | the launcher alone | one job alone | the whole process group |",
        "| --- | --- | --- | --- |",
        "| during `fit` |  | 1 of 2 | 0 of 1 |",
        "| during `analyse` | 1 of 1 |  |  |",
        "| in all | 1 of 1 | 1 of 2 | 0 of 1 |",
    ]


def test_trials_on_record_are_known_by_their_seeds(tmp_path):
    """What `make faults` does not run again."""
    trials = [
        kills.Trial(f"0/{n}", "fit", "job", 1.5, ["fit"], True, n > 0, [], 20.0) for n in range(2)
    ]
    path = tmp_path / "kills.jsonl"
    path.write_text("".join(json.dumps(dataclasses.asdict(t)) + "\n" for t in trials))
    assert kills._recorded(path) == {"0/0": trials[0], "0/1": trials[1]}
    assert [trial.holds for trial in trials] == [False, True]
    assert kills._recorded(tmp_path / "none") == {}
