"""Parts of documents that are written from the code are as the code is."""

import pytest

from tests.conftest import PROJECT
from workflow.documents import (
    ARCHITECTURE,
    METHODS,
    MODELS,
    mermaid,
    planned,
    reduced,
    removing,
    supported,
)

EDGES = {("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d"), ("e", "d")}


def test_what_a_longer_way_says_is_left_out():
    assert reduced(EDGES) == {("a", "b"), ("b", "c"), ("c", "d"), ("e", "d")}


@pytest.mark.workflow
def test_the_picture_is_current():
    assert ARCHITECTURE.parent.parent == PROJECT
    assert mermaid(reduced(planned())) in ARCHITECTURE.read_text(encoding="utf-8"), (
        "run `make docs`"
    )


def test_the_table_of_what_removes_neurons_for_good_is_current():
    table = removing()
    assert "| `drop_cold` | coldest first | arm | [2312.12456](" in table
    assert "`teal`" not in table
    assert table in METHODS.read_text(encoding="utf-8"), "run `make docs`"


def test_the_table_of_architectures_is_current():
    table = supported()
    assert "| `Gemma2ForCausalLM` | gated | RMSNorm of weights plus one |" in table
    assert "attention, then FFN or attention and FFN side by side" in table
    assert (
        "| `masks_that_keep_everything` | masks that keep everything change nothing | exact |"
        in table
    )
    assert table in MODELS.read_text(encoding="utf-8"), "run `make docs`"
