"""Contract of every registered analysis, and the order in which they are made."""

from graphlib import CycleError

import pytest

from pipeline.analysis import base
from pipeline.registry import ANALYSES
from pipeline.tables.base import Column, Document, Table

DENSE = {"sum": [1] * 6, "logic": [1, 1, 1, 1, 1, 0], "copying": [1] * 6}


@pytest.mark.parametrize("file", ANALYSES)
def test_an_analysis_is_registered_under_the_file_that_it_writes(file):
    assert ANALYSES.load(file).file == file


@pytest.mark.parametrize("name", base.registered())
def test_an_analysis_reads_registered_ones_and_fills_its_table(name, condition, analyse):
    made = base.registered()[name]
    assert set(made.reads) <= set(base.registered())
    found = getattr(analyse([condition("dense", "0", DENSE)]), name)
    if isinstance(made.table, Document):
        assert set(found) == set(made.table.keys)
    else:
        assert made.table.frame(found).columns == list(made.table.columns)


def _table(name):
    return Table(name, 1, "Rows.", {"x": Column("Int64", "a number")})


def test_an_analysis_is_made_after_those_that_it_reads(monkeypatch):
    made = {
        "double": base.StudyAnalysis(_table("double"), lambda _, one: [2 * one[0]], ("one",)),
        "one": base.StudyAnalysis(_table("one"), lambda study: [study]),
    }
    monkeypatch.setattr(base, "registered", lambda: made)
    assert base.analysed(3) == {"double": [6], "one": [3]}


def test_analyses_that_read_each_other_are_refused(monkeypatch):
    made = {name: base.StudyAnalysis(_table(name), list, (other,)) for name, other in ("ab", "ba")}
    monkeypatch.setattr(base, "registered", lambda: made)
    with pytest.raises(CycleError):
        base.analysed(None)


def test_naming_the_files_of_an_analysis_imports_none(python):
    done = python(
        "import sys, pipeline.planning.study\n"
        "loaded = {name for name in sys.modules if name.startswith('pipeline.analysis')}\n"
        "assert not loaded and 'polars' not in sys.modules, loaded"
    )
    assert done.returncode == 0, done.stderr
