"""Selective removal: differences of mean contributions by hand."""

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.methods.sparsifiers.static import Neurons, Tables
from pipeline.registry import SPARSIFIERS

MINE = [[4.0, 1, 9, 2], [3, 3, 0, 8]]
OTHERS = [[1.0, 2, 9, 0], [5, 1, 0.5, 1]]


def neurons():
    layer, neuron = np.indices((2, 4))
    same = np.zeros(8)
    return Neurons(
        layer.ravel(), neuron.ravel(), same, same, np.ravel(MINE), same, np.ones(8, dtype=bool),
        np.ravel(OTHERS),
    )  # fmt: skip


def test_differences_by_hand():
    scores = SPARSIFIERS.load("selective")().scores(neurons(), 0)
    assert scores.tolist() == [3, -1, 0, 2, -2, 2, -0.5, 7]


@pytest.mark.parametrize(
    ("share", "scope", "wanted"),
    [
        (0.25, "model", [[0, 1, 0, 0], [1, 0, 0, 0]]),
        (0.5, "model", [[0, 1, 1, 0], [1, 0, 1, 0]]),
        (0.5, "layer", [[0, 1, 1, 0], [1, 0, 1, 0]]),
        (0.25, "layer", [[0, 1, 0, 0], [1, 0, 0, 0]]),
    ],
)
def test_the_least_selective_go_first(share, scope, wanted):
    found = SPARSIFIERS.load("selective")().at(Tables(neurons(), scope), {}, None, share)
    assert found["dropped"].tolist() == wanted


def test_a_distractor_is_needed_and_its_profile_is_read():
    entry = SPARSIFIERS.load("selective")
    with pytest.raises(ValidationError):
        entry.Options()
    assert entry.Options(distractor="chat").distractor == "chat"
    assert entry.reads == {"distractor": "profile"} and entry.static and not entry.seeded
