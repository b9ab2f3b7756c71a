"""Shares of neurons that profiles tell of."""

import pytest


def test_shares_of_a_layer_are_means_over_layers(profiles):
    rows = profiles.spreads()
    assert [(row["model"], row["corpus"]) for row in rows] == [
        (model, corpus) for model in profiles.models for corpus in ("reasoning", "prose")
    ]
    assert rows[0]["hot_share"] == pytest.approx(0.3)
    assert rows[0]["block_share"] == pytest.approx(0.32)
