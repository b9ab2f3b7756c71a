"""The picture of the rules in docs/architecture.md is the one that Snakemake plans."""

import pytest

from tests.conftest import PROJECT
from workflow.picture import PAGE, mermaid, planned, reduced

EDGES = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("e", "d")}


def test_what_a_longer_way_says_is_left_out():
    assert reduced(EDGES) == {("a", "b"), ("b", "c"), ("c", "d"), ("e", "d")}


@pytest.mark.workflow
def test_the_picture_is_current():
    assert PAGE.parent.parent == PROJECT
    assert mermaid(reduced(planned())) in PAGE.read_text(encoding="utf-8"), "run `make docs`"
