"""Contract of every declared table and document."""

import importlib
import pkgutil

import pytest

import pipeline.tables
from pipeline.registry import ANALYSES
from pipeline.tables.base import Document, Table

DECLARED = {
    f"{module.name}.{name}": value
    for module in pkgutil.iter_modules(pipeline.tables.__path__)
    for name, value in vars(importlib.import_module(f"pipeline.tables.{module.name}")).items()
    if isinstance(value, Table | Document)
} | {f"analysis.{file}": ANALYSES.load(file).table for file in ANALYSES}
TABLES = [name for name, value in DECLARED.items() if isinstance(value, Table)]


def test_names_differ():
    distinct = {id(value): value.name for value in DECLARED.values()}
    assert len(set(distinct.values())) == len(distinct)


@pytest.mark.parametrize("name", DECLARED)
def test_every_column_and_key_is_explained(name):
    kind = DECLARED[name]
    texts = [c.text for c in kind.columns.values()] if name in TABLES else kind.keys.values()
    assert kind.text.strip() and kind.version >= 1
    assert all(text.strip() for text in texts)


@pytest.mark.parametrize("name", TABLES)
def test_an_empty_table_is_written_and_read(name, tmp_path, manifest):
    table = DECLARED[name]
    table.write(tmp_path / "t.parquet", [], manifest)
    frame = table.read(tmp_path / "t.parquet")
    assert frame.height == 0 and frame.columns == list(table.columns)
