"""What a user tells Snakemake, by a profile and by arguments."""

import pytest

from pipeline.running import settings


@pytest.fixture
def profile(tmp_path):
    """A function that writes a profile's file and returns its folder."""

    def write(text):
        (tmp_path / "profile.yaml").write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "extra", "expected"),
    [
        ("cores: all", [], "local"),
        ("cores: all", ["-e", "kubernetes"], "kubernetes"),
        ("executor: slurm", [], "slurm"),
        ("executor: slurm", ["--executor", "local"], "local"),
    ],
)
def test_the_executor_is_that_of_the_arguments_then_of_the_profile(profile, text, extra, expected):
    assert settings.executor(profile(text), extra) == expected


@pytest.mark.parametrize(
    ("text", "extra", "values", "left"),
    [
        ("cores: all", ["--dry-run", "a.txt"], [], ["--dry-run", "a.txt"]),
        ("resources: [gpu=1, mem_mb=5]", ["a.txt"], ["gpu=1", "mem_mb=5"], ["a.txt"]),
        ("resources: {gpu: 1}", [], ["gpu=1"], []),
        ("resources: gpu=1 mem=5GB", [], ["gpu=1", "mem=5GB"], []),
        ("resources: [gpu=1]", ["--resources", "a=2", "b=3", "-n"], ["a=2", "b=3"], ["-n"]),
        ("cores: all", ["-n", "--res", "a=2"], ["a=2"], ["-n"]),
        ("cores: all", ["--resources=a=2", "a.txt"], ["a=2"], ["a.txt"]),
        ("cores: all", ["--resources", "a=2", "--resource", "b=3"], ["b=3"], []),
        ("cores: all", ["--restart-times", "3"], [], ["--restart-times", "3"]),
    ],
)
def test_resources_of_the_run_are_told_from_other_arguments(profile, text, extra, values, left):
    assert settings.resources(profile(text), extra) == (values, left)
