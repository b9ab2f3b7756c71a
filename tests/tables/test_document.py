"""docs/formats.md is written from the tables, names every file, and its examples run."""

import re
import subprocess
import sys

import pytest

from pipeline.study import FILES, PROJECT
from pipeline.tables import document

PAGE = PROJECT / "docs" / "formats.md"


def test_shipped_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == document.markdown(), "run `make docs`"


def test_every_file_that_a_job_reads_again_is_described():
    described = {path for files in document.FILES.values() for path in files}
    rules = {(path.split("/")[1], path.split("/")[-1]) for path in described}
    alike = {"evaluate_dense": "evaluate", "evaluate_dense_shard": "evaluate_shard"}
    alike["fit_with_model"] = "fit"
    for rule, files in FILES.items():
        for file in files:
            place = alike.get(rule, rule), file
            shards_samples = rule.endswith("_shard") and file == "samples.parquet"
            if (
                rule != "build_report"
                and file.endswith(("parquet", "json", "safetensors"))
                and not shards_samples
            ):
                assert place in rules, place


def test_every_column_has_a_row():
    page = document.markdown()
    for files in document.FILES.values():
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
