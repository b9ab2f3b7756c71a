"""Log perplexity of texts: sums over tokens, paired by text."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm, Text, arms
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.perplexity import difference, perplexities
from pipeline.tables.curves import PERPLEXITY
from pipeline.tables.samples import SAMPLES, SPARSITY

TOKENS = np.array([10, 30, 60] * 20)


def arm(method, nats, level="0.5"):
    nats = np.atleast_2d(nats)
    sparsity = pl.DataFrame(
        {
            "task": ["prose"] * 2,
            "tokens": [100, 100],
            "basis": ["imposed", "total"],
            **{f"{m}_sparsity": [0.5, 0.6] for m in ("neuron", "ffn_weight", "model_weight")},
        }
    )
    return Arm("m", method, level, len(nats), {}, {"prose": Text(nats, TOKENS)}, sparsity)


def test_loss_is_the_difference_of_nats_a_token_with_its_interval():
    generator = np.random.default_rng(0)
    base = TOKENS * generator.uniform(1, 2, 60)
    dense, cold = arm("dense", base, "0"), arm("cold", base + 0.3 * TOKENS)
    rows = perplexities([dense, cold], {"m": dense}, Resamples(0, 300, 0.95))
    assert PERPLEXITY.frame(rows).height == 2
    assert rows[0]["loss"] == rows[0]["loss_low"] == rows[0]["loss_high"] == 0
    assert rows[1]["log_perplexity_dense"] == pytest.approx(base.sum() / TOKENS.sum())
    # Every token loses the same, so pairing leaves no doubt, whichever texts are drawn.
    for key in ("loss", "loss_low", "loss_high"):
        assert rows[1][key] == pytest.approx(0.3)
    assert rows[1]["neuron_sparsity_imposed"] == 0.5


def test_intervals_over_texts_cover_the_loss_of_all_texts():
    covered = 0
    for study in range(100):
        generator = np.random.default_rng(study)
        base = TOKENS * generator.uniform(1, 2, 60)
        dense = arm("dense", base, "0")
        cold = arm("cold", base + TOKENS * generator.normal(0.2, 0.3, 60))
        row = perplexities([cold], {"m": dense}, Resamples(study, 300, 0.95))[0]
        covered += row["loss_low"] <= 0.2 <= row["loss_high"]
    assert covered >= 88


def test_a_single_text_has_no_interval():
    one, other = (
        dataclasses.replace(
            arm(name, TOKENS * 1.0), texts={"prose": Text(np.array([[n]]), np.array([9]))}
        )
        for name, n in (("dense", 9.0), ("cold", 18.0))
    )
    row = perplexities([other], {"m": one}, Resamples(0, 300, 0.95))[0]
    assert row["loss"] == 1.0 and row["loss_low"] is row["loss_high"] is None
    assert PERPLEXITY.frame([row]).height == 1


def test_seeds_are_pooled():
    base = TOKENS * 1.5
    dense = arm("dense", base, "0")
    drawn = arm("random", np.stack([base + 0.1 * TOKENS, base + 0.3 * TOKENS]))
    row = perplexities([drawn], {"m": dense}, Resamples(0, 300, 0.95))[0]
    assert row["loss"] == pytest.approx(0.2) and row["seeds"] == 2
    assert row["loss_low"] < 0.1 and row["loss_high"] > 0.3


def test_texts_are_told_from_answers_by_their_missing_verdict(condition):
    made = condition("dense", "0", {"sum": [1, 0]})
    text = made.samples.head(1).with_columns(
        task=pl.lit("prose"), correct=pl.lit(None, dtype=pl.Boolean), reasoning=pl.lit(False),
        nats=pl.lit(3.0), scored_tokens=pl.lit(2, dtype=pl.Int32),
    )  # fmt: skip
    both = type(made)("m", "dense", "0", 0, SAMPLES.frame(pl.concat([made.samples, text])),
                      SPARSITY.frame(made.sparsity))  # fmt: skip
    (found,), _ = arms([both])
    assert set(found.right) == {"sum"} and set(found.texts) == {"prose"}
    assert found.texts["prose"].log_perplexity == 1.5


def test_texts_whose_scores_are_not_finite_have_no_nats():
    base = TOKENS * 1.5
    dense = arm("dense", base, "0")
    broken = np.where(np.arange(60) == 3, np.nan, base)
    cold = dataclasses.replace(arm("cold", broken), nonfinite={"prose": 1})
    (row,) = perplexities([cold], {"m": dense}, Resamples(0, 100, 0.95))
    assert PERPLEXITY.frame([row]).height == 1
    assert row["nonfinite"] == 1 and row["log_perplexity_dense"] == 1.5
    for key in ("log_perplexity", "loss", "loss_low", "loss_high"):
        assert row[key] is None


def test_a_difference_to_the_dense_run_is_its_loss():
    generator = np.random.default_rng(2)
    base = TOKENS * generator.uniform(1, 2, 60)
    dense, cold = arm("dense", base, "0"), arm("cold", base + TOKENS * generator.normal(0.2, 1, 60))
    draws = Resamples(0, 300, 0.95)
    (row,) = perplexities([cold], {"m": dense}, draws)
    found = difference(cold, dense, "prose", draws)
    assert found == tuple(row[key] for key in ("loss", "loss_low", "loss_high"))
    estimate, low, high = difference(dense, cold, "prose", draws)
    assert (estimate, low, high) == pytest.approx((-found[0], -found[2], -found[1]))
