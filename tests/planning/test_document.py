"""docs/formats.md is written from the table of stages, names every file, and its examples run."""

import re
import subprocess
import sys

import pytest

from pipeline.planning import document
from pipeline.planning.stages import STAGES
from pipeline.planning.study import PROJECT

PAGE = PROJECT / "docs" / "formats.md"


def test_shipped_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == document.markdown(), "run `make docs`"


def test_every_file_with_a_table_is_described_where_it_stands():
    described = {path for files in document.described().values() for path in files}
    assert len(described) == len({path for path in described if "{" not in path})
    assert "shared/evaluate_dense_shard/KEY/SHARD/counts.parquet" in described
    assert "STUDY/fit/MODEL/METHOD/LEVEL/SEED/plan.safetensors" in described
    names = {path.rpartition("/")[2] for path in described}
    for stage in STAGES.values():
        assert {out.file for out in stage.outputs.values() if out.table is not None} <= names


def test_every_column_has_a_row():
    page = document.markdown()
    for files in document.described().values():
        for kind in files.values():
            names = next(
                getattr(kind, part) for part in ("columns", "keys", "arrays") if hasattr(kind, part)
            )
            assert all(f"| `{name}` |" in page for name in names), kind.name


def test_columns_say_whether_they_may_be_null():
    assert "| `overlap_previous` | Float64, nullable | " in document.markdown()


@pytest.mark.workflow
@pytest.mark.parametrize("number", range(3))
def test_the_examples_run_on_a_study(finished, number):
    examples = re.findall(r"```python\n(.*?)```", document.markdown(), re.S)
    assert len(examples) == 3
    done = subprocess.run(
        [sys.executable, "-c", examples[number]], cwd=finished.work, env=finished.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = ("mean_contribution", "natural_sparsity", "")[number]
    assert expected in done.stdout and done.stdout.strip()
