"""The launcher's options for a cluster, and its look for what a killed run left in the queue."""

import pytest

from pipeline.config.study import parse_study
from pipeline.errors import UserError
from pipeline.running import launcher, slurm


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that puts shell scripts on PATH under the names of Slurm's commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(**scripts):
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        return folder

    return write


@pytest.fixture
def profile(tmp_path):
    """A function: text of a profile -> its folder."""

    def write(text, name="profile.yaml"):
        folder = tmp_path / "profile"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        return folder

    return write


def config(kept):
    return f"echo 'AccountingStoragePort   = 0'; echo 'AccountingStorageType   = {kept}'"


@pytest.mark.parametrize(
    ("kept", "added"),
    [
        ("accounting_storage/none", ["--slurm-status-command", "squeue"]),
        ("(null)", ["--slurm-status-command", "squeue"]),
        ("accounting_storage/slurmdbd", []),
    ],
)
def test_without_accounting_the_states_come_from_squeue(commands, profile, tmp_path, kept, added):
    commands(scontrol=config(kept))
    chosen = slurm.options("small", tmp_path, profile("executor: slurm"), [])
    assert chosen[:2] == ["--slurm-jobname-prefix", slurm.job_name("small", tmp_path)]
    assert chosen[2:] == added


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("executor: slurm\nslurm-status-command: sacct", []),
        ("executor: slurm", ["--slurm-status-command", "sacct"]),
        ("executor: slurm", ["--slurm-status-command=sacct"]),
    ],
)
def test_what_is_said_of_the_states_is_left_alone(commands, profile, tmp_path, text, extra):
    commands(scontrol=config("accounting_storage/none"))
    chosen = slurm.options("small", tmp_path, profile(text), extra)
    assert chosen == ["--slurm-jobname-prefix", slurm.job_name("small", tmp_path)]


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        ("slurm-jobname-prefix: mine", []),
        ("executor: slurm", ["--slurm-jobname-prefix=mine"]),
    ],
)
def test_a_job_name_of_ones_own_is_refused(profile, tmp_path, text, extra):
    with pytest.raises(UserError, match="--slurm-jobname-prefix is chosen by the launcher"):
        slurm.options("small", tmp_path, profile(text), extra)


@pytest.mark.parametrize(
    ("text", "name", "extra", "expected"),
    [
        ("executor: slurm", "profile.yaml", [], True),
        ("executor: slurm", "config.yaml", [], True),
        ("executor: slurm", "profile.v9+.yaml", [], True),
        ("cores: all", "profile.yaml", [], False),
        ("cores: all", "profile.yaml", ["--executor", "slurm"], True),
        ("executor: slurm", "profile.yaml", ["--executor=local"], False),
        ("- no mapping", "profile.yaml", [], False),
    ],
)
def test_a_profile_is_for_slurm_when_its_executor_is(profile, text, name, extra, expected):
    assert slurm.used_by(profile(text, name), extra) is expected


def test_the_shipped_profiles_are_told_apart():
    assert slurm.used_by(launcher.profile_folder("slurm"), [])
    assert not slurm.used_by(launcher.profile_folder("local"), [])


def test_a_job_name_keeps_to_the_plugins_letters_and_length_and_tells_folders_apart(tmp_path):
    from snakemake_executor_plugin_slurm import ExecutorSettings

    long = "a.study+of" + "x" * 54
    name = slurm.job_name(long, tmp_path)
    assert name.startswith("a-study-ofxxx")
    assert len(name) == 50
    assert name.replace("-", "").replace("_", "").isalnum()
    ExecutorSettings(jobname_prefix=name)
    assert slurm.job_name("small", tmp_path) != slurm.job_name("small", tmp_path / "other")
    assert slurm.job_name("small", tmp_path) == slurm.job_name("small", tmp_path / "x" / "..")


def queue(commands, tmp_path, rows):
    """Fake a queue: one listing a call, the last one empty; what scancel is given is kept."""
    listings = tmp_path / "listings"
    listings.mkdir()
    for number, listing in enumerate([*rows, []]):
        (listings / str(number)).write_text("".join(f"{row}\n" for row in listing))
    commands(
        squeue=f"cd {listings}; first=$(ls | sort -n | head -1); cat $first; "
        "[ $(ls | wc -l) = 1 ] || rm $first",
        scancel=f'echo "$@" >> {tmp_path}/cancelled',
    )


def test_orphans_are_cancelled_while_they_pend_and_waited_for_while_they_run(commands, tmp_path):
    name = f"{slurm.job_name('small', tmp_path)}_0c5c29a1"
    sibling = f"{slurm.job_name('other', tmp_path)}_77aa0001"
    stranger = f"{slurm.job_name('small', tmp_path / 'elsewhere')}_11111111"
    queue(
        commands,
        tmp_path,
        [
            [
                f"11|RUNNING|{name}",
                f"12|PENDING|{name}",
                f"13_[2-4]|PENDING|{sibling}",
                f"14|RUNNING|{stranger}",
                f"15|PENDING|{stranger}",
                "16|PENDING|an odd | name",
            ],
            [f"11|COMPLETING|{name}", f"14|RUNNING|{stranger}"],
            [f"14|RUNNING|{stranger}"],
        ],
    )
    told = []
    slurm.wait_for_orphans(tmp_path, told.append, interval=0)
    assert (tmp_path / "cancelled").read_text() == "--state=PENDING 12 13_[2-4]\n"
    assert [message.partition(":")[0] for message in told] == [
        "cancelling pending jobs that an interrupted run left",
        "waiting for running jobs that an interrupted run left",
    ]
    assert "11" in told[1] and "14" not in told[1]


def test_an_empty_queue_says_nothing(commands, tmp_path):
    queue(commands, tmp_path, [])
    told = []
    slurm.wait_for_orphans(tmp_path, told.append, interval=0)
    assert told == []
    assert not (tmp_path / "cancelled").exists()


def test_a_machine_without_slurm_is_told_what_to_do(commands, profile, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(commands()))
    with pytest.raises(UserError, match="no scontrol: .*PROFILE=local"):
        slurm.options("small", tmp_path, profile("executor: slurm"), [])


def test_what_slurm_says_of_its_failure_is_passed_on(commands, tmp_path):
    commands(squeue="echo 'Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(UserError, match=r"squeue .*: Unable to contact slurm controller"):
        slurm.jobs_of(tmp_path)


def test_a_silent_controller_is_given_up(commands, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "_PATIENCE", 0.2)
    commands(squeue="exec sleep 60")
    with pytest.raises(UserError, match="no answer within"):
        slurm.jobs_of(tmp_path)


def test_a_profile_that_is_no_yaml_is_named(profile):
    with pytest.raises(UserError, match=r"profile\.yaml is not YAML"):
        slurm.used_by(profile("a: [1"), [])


def test_jobs_in_the_queue_are_known_and_without_a_cluster_there_are_none(commands, tmp_path):
    name = f"{slurm.job_name('small', tmp_path)}_abc"
    commands(squeue=f"echo '7|RUNNING|{name}'; echo '8|PENDING|other'")
    assert [job.identity for job in slurm.queued(tmp_path)] == ["7"]
    commands(squeue="echo 'Could not establish a configuration source' >&2; exit 1")
    assert slurm.queued(tmp_path) == []
    commands(squeue="echo down >&2; exit 1")
    with pytest.raises(UserError, match="squeue.*down"):
        slurm.queued(tmp_path)
    assert slurm.queued(tmp_path, or_none=True) == []


def test_a_run_without_slurm_waits_for_what_a_killed_run_left_in_the_queue(
    commands, tmp_path, capsys, study_values, monkeypatch
):
    monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
    name = f"{slurm.job_name('small', tmp_path)}_abc"
    ended = tmp_path / "ended"
    commands(
        squeue=f"test -e {ended} || echo '7|PENDING|{name}'",
        scancel=f"touch {ended}",
    )
    launcher.lock(parse_study(study_values), tmp_path)
    assert "cancelling pending jobs that an interrupted run left: 7" in capsys.readouterr().err
    assert ended.exists()
