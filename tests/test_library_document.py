"""The first example of docs/library.md prints what the page says, and the others fit."""

import json
import os
import re
import subprocess
import sys

import pytest

from pipeline.store.digest import SOURCE_ROOT

PROJECT = SOURCE_ROOT.parent
PAGE = (PROJECT / "docs" / "library.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.S)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.S)


def test_the_example_prints_what_the_page_says():
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLES[0]], cwd=PROJECT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE_ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED


@pytest.mark.parametrize("example", EXAMPLES[1:], ids=["methods", "levels"])
def test_the_other_examples_fit(make_model, tokenizer, example):
    import pipeline

    rows = (PROJECT / "resources" / "calibration" / "reasoning.jsonl").read_text().splitlines()
    texts = [json.loads(row)["text"] for row in rows[:60]]
    names = {"pipeline": pipeline, "model": make_model(hidden_act="silu"), "tokenizer": tokenizer}
    exec(example, {**names, "texts": texts[:40], "prose": texts[40:]})
