"""The workflow for a public forge, which cannot run here: what it names is there."""

import re

import yaml

from pipeline.planning.study import PROJECT
from workflow import install

PATH = PROJECT / ".github/workflows/tests.yml"


def jobs():
    # YAML 1.1 reads the key `on` as true.
    (job,) = yaml.safe_load(PATH.read_text())["jobs"].values()
    return job


def test_it_calls_what_ci_calls_and_nothing_else():
    calls = [step["run"] for step in jobs()["steps"] if "run" in step]
    ci = [line for line in (PROJECT / ".ci/run").read_text().splitlines() if "make " in line]
    assert calls == ci
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.M)
    for call in calls:
        words = call.split()
        assert words[0] == "make" and set(words[1:]) <= set(targets)


def test_it_runs_on_the_oldest_and_the_newest_python():
    versions = jobs()["strategy"]["matrix"]["python"]
    assert versions == [install.supported()[0], install.supported()[-1]]
    (setup,) = (step for step in jobs()["steps"] if "setup-python" in step.get("uses", ""))
    assert setup["with"]["python-version"] == "${{ matrix.python }}"


def test_make_is_told_which_python():
    (name,) = jobs()["env"]
    assert f"$({name})" in (PROJECT / "Makefile").read_text()
    assert jobs()["env"][name] == "python${{ matrix.python }}"
