"""This machine's memory, and jobs side by side that do not plan for more than that."""

import os
import subprocess

import pytest

from pipeline.running import launcher
from pipeline.running.memory import Memory, limited, memory

GIBIBYTE = 1 << 30
MEMINFO = "MemTotal:       8388608 kB\nMemFree:         100 kB\nMemAvailable:   6291456 kB\n"


@pytest.fixture
def system(tmp_path):
    """A function that writes a stand-in of /proc and of the control groups; returns both folders.

    `groups` is what /proc/self/cgroup says, `limits` the content of files by their paths.
    """

    def write(groups="", limits=None, meminfo=MEMINFO):
        proc, tops = tmp_path / "proc", tmp_path / "cgroup"
        (proc / "self").mkdir(parents=True)
        (proc / "meminfo").write_text(meminfo)
        (proc / "self" / "cgroup").write_text(groups)
        for path, text in (limits or {}).items():
            (tops / path).parent.mkdir(parents=True, exist_ok=True)
            (tops / path).write_text(f"{text}\n")
        return proc, tops

    return write


def test_without_control_groups_the_machine_sets_the_limit(system):
    found = memory(*system())
    assert found == Memory(8 * GIBIBYTE, 6 * GIBIBYTE, None)
    assert found.usable == 8 * GIBIBYTE


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        # Version 2, the job's own group, then one that holds it, then one outside.
        ("0::/a/b\n", {"a/b/memory.max": 2 * GIBIBYTE}, 2),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": 3 * GIBIBYTE}, 3),
        ("0::/a/b\n", {"a/b/memory.max": 5 * GIBIBYTE, "memory.max": 4 * GIBIBYTE}, 4),
        ("0::/a/b\n", {"a/c/memory.max": GIBIBYTE}, None),
        # Outside what a container sees.
        ("0::/../other\n", {"memory.max": 2 * GIBIBYTE}, 2),
        # Version 1, whose number for no limit is large; another controller's is not read.
        ("4:cpu,memory:/a\n", {"memory/a/memory.limit_in_bytes": 2 * GIBIBYTE}, 2),
        ("4:memory:/a\n", {"memory/memory.limit_in_bytes": 2 * GIBIBYTE}, 2),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": 9223372036854771712}, None),
        ("3:cpuset:/a\n", {"memory/a/memory.limit_in_bytes": GIBIBYTE}, None),
        # Both, as systems on the way from one to the other have it.
        ("0::/a\n", {"unified/a/memory.max": GIBIBYTE}, 1),
    ],
)
def test_the_lowest_limit_of_the_control_groups_counts(system, groups, limits, expected):
    found = memory(*system(groups, limits))
    assert found.limit == (expected and expected * GIBIBYTE)
    assert found.usable == (expected or 8) * GIBIBYTE
    assert found.available == min(expected or 8, 6) * GIBIBYTE


@pytest.mark.parametrize("meminfo", ["", "MemTotal: many kB\nMemAvailable: 1 kB\n"])
def test_a_system_that_does_not_tell_its_memory_has_an_unknown_one(system, tmp_path, meminfo):
    assert memory(*system(meminfo=meminfo)) is None
    assert memory(tmp_path / "nowhere") is None


def test_this_machine_tells_its_memory():
    here = memory()
    assert here.usable <= here.total == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


HERE = Memory(8_000_999_999, 1, None)


@pytest.mark.parametrize(
    ("text", "extra", "options", "left"),
    [
        ("cores: all", ["a.txt"], ["--resources", "mem_mb=8000"], ["a.txt"]),
        ("cores: all", ["--resources", "gpu=1"], ["--resources", "mem_mb=8000", "gpu=1"], []),
        ("resources: [gpu=1]", ["-n"], ["--resources", "mem_mb=8000", "gpu=1"], ["-n"]),
        # What the user says of memory counts alone.
        ("cores: all", ["--resources=mem_mb=5"], [], ["--resources=mem_mb=5"]),
        ("cores: all", ["--res", "a=1", "mem=5GB"], [], ["--res", "a=1", "mem=5GB"]),
        ("resources: {mem_mib: 5}", ["-n"], [], ["-n"]),
        # The memory of this machine is not that of a cluster's nodes.
        ("executor: slurm", ["-n"], [], ["-n"]),
        ("cores: all", ["-e", "slurm"], [], ["-e", "slurm"]),
    ],
)
def test_snakemake_is_told_of_the_memory_unless_the_user_does(tmp_path, text, extra, options, left):
    (tmp_path / "profile.yaml").write_text(text)
    assert limited(tmp_path, extra, HERE) == (options, left)


def test_a_machine_of_unknown_memory_sets_no_limit(tmp_path):
    assert limited(tmp_path, ["--resources", "gpu=1"], None) == ([], ["--resources", "gpu=1"])


#: Jobs that write when they begin, with what they may use, and when they end. `large` fails once,
#: and asks for as much again on its second try.
STAND_IN = """
MEGABYTES = {"one": 600, "two": 600, "small": 300, "large": 5000}

rule all:
    input: MEGABYTES

rule work:
    output: "{name}"
    wildcard_constraints: name="one|two|small|large"
    resources: mem_mb=lambda wildcards, attempt: attempt * MEGABYTES[wildcards.name]
    retries: 1
    shell:
        "echo begin {wildcards.name} {resources.mem_mb} >> log; sleep 0.5; "
        "echo end {wildcards.name} {resources.mem_mb} >> log; "
        "test {wildcards.name} != large || test -e tried || {{ touch tried; exit 1; }}; "
        "touch {output}"
"""


@pytest.mark.workflow
def test_jobs_side_by_side_never_plan_for_more_than_the_machine_has(tmp_path, monkeypatch):
    (tmp_path / "Snakefile").write_text(STAND_IN)
    (tmp_path / "c.yaml").write_text("{}")
    monkeypatch.setattr(launcher, "memory", lambda: Memory(10**9, 10**9, None))
    line = launcher.command(tmp_path / "c.yaml", "local", "4", tmp_path, ["all"])
    line[line.index("--snakefile") + 1] = str(tmp_path / "Snakefile")
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    at_work, tries = {}, []
    for text in (tmp_path / "log").read_text().splitlines():
        word, name, megabytes = text.split()
        if word == "begin":
            at_work[name] = int(megabytes)
            tries.append((name, int(megabytes)))
            assert sum(at_work.values()) <= 1000
        else:
            del at_work[name]
    # A job that needs more than there is, asks for all there is, also on its second try.
    all_there_is = ("large", 1000)
    expected = [all_there_is, all_there_is, ("one", 600), ("small", 300), ("two", 600)]
    assert sorted(tries) == expected
