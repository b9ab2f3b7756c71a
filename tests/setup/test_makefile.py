"""What the Makefile hands on, without making anything."""

import shlex
import shutil
import subprocess

import pytest

from pipeline.planning.study import PROJECT


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize("config", ["a b.yaml", "own/s;t.yaml", "b{x}.yaml", "it's.yaml"])
def test_a_configuration_may_have_any_name(config):
    said = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "study", f"CONFIG={config}"],
        cwd=PROJECT, text=True, capture_output=True, check=True,
    ).stdout  # fmt: skip
    (line,) = (line for line in said.splitlines() if "pipeline run" in line)
    words = shlex.split(line)
    assert words[words.index("--config") + 1] == config
