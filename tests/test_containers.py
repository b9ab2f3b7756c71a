"""What the container files name is there, and is the version that the project is pinned to."""

import re

import pytest

from pipeline.planning.study import PROJECT
from workflow import install

FILES = ("Dockerfile", "cold-neurons.def")
#: What a study needs of the project, besides its environment.
PARTS = {
    "LICENSE", "Snakefile", "config.yaml", "configs", "constraints", "profiles",
    "pyproject.toml", "resources", "rules", "setup.py", "src", "workflow",
}  # fmt: skip


def text(name):
    return (PROJECT / "containers" / name).read_text()


def copied(name):
    """What an image takes from the project, by either file's grammar."""
    if name == "Dockerfile":
        lines = re.findall(r"^COPY (.*) \S+$", text(name), re.M)
        return {part for line in lines for part in line.split()}
    section = re.search(r"^%files\n((?:    .*\n)+)", text(name), re.M)[1]
    pairs = [line.split() for line in section.splitlines()]
    assert all(place == f"/opt/cold-neurons/{part}" for part, place in pairs)
    return {part for part, _ in pairs}


@pytest.mark.parametrize("name", FILES)
def test_an_image_takes_what_a_study_needs_and_what_is_there(name):
    assert copied(name) == PARTS
    assert all((PROJECT / part).exists() for part in copied(name))


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_a_python_that_serves_and_its_pins(name):
    (python,) = re.findall(r"^(?:ARG | {4})PYTHON=(\S+)$", text(name), re.M)
    assert python in install.supported()
    where = "${PYTHON}" if name == "Dockerfile" else "{{ PYTHON }}"
    assert f"python:{where}-slim" in text(name)
    for what in ("torch", "--editable ."):
        assert f"--constraint constraints/python{where}.txt {what}\n" in text(name)
    assert install.constraints_of(python).is_file()


def test_docker_is_sent_what_the_image_takes():
    sent = re.findall(r"^!(.*)$", text("Dockerfile.dockerignore"), re.M)
    assert set(sent) == PARTS


@pytest.mark.parametrize("name", FILES)
def test_an_image_says_that_nobody_has_built_it(name):
    assert "Not built in CI" in text(name)
