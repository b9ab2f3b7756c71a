"""The rule of docs/architecture.md works as it is printed there."""

import re
import textwrap

import polars as pl
import pytest

from tests.conftest import PROJECT

pytestmark = pytest.mark.workflow

TABLE = '''"""Layers by their share of hot neurons."""

from pipeline.tables.base import Column, Table

LAYER_HEAT = Table(
    "layer_heat",
    1,
    "Layers by their share of hot neurons.",
    {
        "corpus": Column("String", "corpus"),
        "layer": Column("Int32", "block of the model"),
        "hot": Column("Float64", "share of the neurons that are hot"),
    },
)
'''
SCRIPT = '''"""Tell a layer's share of hot neurons."""

from pathlib import Path

import polars as pl

from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest
from pipeline.tables.classes import CLASSES
from pipeline.tables.layer_heat import LAYER_HEAT
from pipeline.tables.named import read_each


def main(*, classes: list[Path], folders: dict, heat: Path, manifest: Manifest) -> None:
    """Write heat.parquet."""
    rows = []
    for facts, frame in read_each(CLASSES, classes, folders):
        shares = frame.group_by("layer").agg(pl.col("hot").mean()).sort("layer")
        rows += [{"corpus": facts["corpus"], **row} for row in shares.to_dicts()]
    columns = {name: [row[name] for row in rows] for name in ("corpus", "layer", "hot")}
    LAYER_HEAT.write(heat, columns, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
'''


def test_the_rule_of_the_walkthrough_is_four_files(edited):
    """Of a finished study it makes what it adds, and no other job runs again."""
    document = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rule = document[document.index("### A rule\n") :]
    blocks = re.findall(r"   ```python\n(.*?)   ```", rule, re.DOTALL)
    stage, text = map(textwrap.dedent, blocks)
    stages = "src/pipeline/planning/stages.py"
    edited.edit(
        stages, '    "prepare": Stage(', textwrap.indent(stage, "    ") + '    "prepare": Stage('
    )
    edited.edit(stages, "    classes,\n", "    classes,\n    layer_heat,\n")
    with open(edited.folder / "rules" / "classify.smk", "a", encoding="utf-8") as file:
        file.write("\n\n" + text)
    (edited.folder / "src/pipeline/tables/layer_heat.py").write_text(TABLE)
    (edited.folder / "workflow/scripts/layer_heat.py").write_text(SCRIPT)
    assert set(edited.planned()) == {"layer_heat"}
    edited.run()
    assert edited.planned() == {}
    (made,) = (edited.work / "results/tiny/layer_heat").glob("*/heat.parquet")
    heat = pl.read_parquet(made)
    assert heat["layer"].to_list() == [0, 1, 2, 3]
    assert heat["hot"].is_between(0, 1, closed="none").all()
