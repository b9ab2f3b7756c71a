"""Which orders are compared on texts, and the parts of a difference in nats a token."""

import numpy as np
import polars as pl
import pytest

from pipeline.analysis.arms import Arm, Text
from pipeline.analysis.bootstrap import Resamples
from pipeline.analysis.text_finding import text_contrasts, text_decomposition
from pipeline.config.orders import Orders

LEVEL = "0.25"
TOKENS = np.array([10, 30, 60] * 8)
#: Method -> nats that each token costs more than under the dense model.
LOST = {
    "cold": 0.2, "hot": 3.0, "random": 0.9, "among_cold": 0.3, "small": 0.25,
    "cold_of_model": 0.1, "as_model": 0.6, "cold_as_model": 0.4,
}  # fmt: skip
DRAWS = Resamples(0, 200, 0.95)


class Plain(Arm):
    """An arm that achieved what its level says."""

    def achieved(self, tasks):
        return {"neuron_sparsity_imposed": float(self.level)}


def arm(method, lost, level=LEVEL, model="m", tokens=TOKENS, **changes):
    """Every token of two tasks costs `lost` nats more than a base that varies by text; the second
    task costs twice as much."""
    base = tokens * np.random.default_rng(0).uniform(1, 2, len(tokens))
    texts = {
        name: Text((base + times * lost * tokens)[None], tokens, reasoning=name == "examples")
        for times, name in ((1, "prose"), (2, "examples"))
    }
    return Plain(model, method, level, 1, {}, texts, pl.DataFrame(), **changes)


@pytest.fixture
def arms():
    return [arm(method, lost) for method, lost in LOST.items()]


def test_the_same_pairs_are_compared_as_with_accuracies(arms, orders):
    rows = text_contrasts(arms, Orders(orders), LEVEL, DRAWS)
    of_prose = [row for row in rows if row["task"] == "prose"]
    assert [(row["first"]["method"], row["second"]["method"]) for row in of_prose] == [
        ("cold", "random"), ("cold", "among_cold"), ("cold", "hot"), ("cold", "small"),
        ("cold", "cold_of_model"), ("cold_of_model", "as_model"),
        ("cold_of_model", "cold_as_model"),
    ]  # fmt: skip
    assert len(rows) == 2 * len(of_prose)


def test_a_contrast_is_the_difference_of_nats_a_token_paired_by_text(arms, orders):
    rows = text_contrasts(arms, Orders(orders), LEVEL, DRAWS)
    found = {(row["task"], row["second"]["method"]): row for row in rows if row["n"] == 24}
    assert found["prose", "random"]["estimate"] == pytest.approx(0.2 - 0.9)
    assert found["examples", "random"]["estimate"] == pytest.approx(2 * (0.2 - 0.9))
    # Every token loses the same, so pairing leaves no doubt, whichever texts are drawn.
    for end in ("low", "high"):
        assert found["prose", "hot"][end] == pytest.approx(0.2 - 3.0)
    sides = {"method": "random", "level": LEVEL, "neuron_sparsity": 0.25}
    assert found["prose", "random"]["second"] == sides


def test_an_interval_holds_what_differs_from_text_to_text(orders):
    noise = np.random.default_rng(1).normal(0, 0.5, len(TOKENS)) * TOKENS
    cold, random = arm("cold", 0.2), arm("random", 0.2)
    random.texts["prose"] = Text(random.texts["prose"].nats + noise, TOKENS)
    (row,) = (
        row
        for row in text_contrasts([cold, random], Orders(orders), LEVEL, DRAWS)
        if row["task"] == "prose"
    )
    assert row["estimate"] == pytest.approx(-noise.sum() / TOKENS.sum())
    error = np.sqrt((noise**2).sum()) / TOKENS.sum()
    assert 0.6 * error < (row["high"] - row["low"]) / (2 * 1.96) < 1.4 * error


def test_parts_add_up_to_random_less_coldest(arms, orders):
    rows = text_decomposition(arms, Orders(orders), LEVEL, DRAWS)
    parts = {(r["scope"], r["part"]): r["estimate"] for r in rows if r["task"] == "prose"}
    assert parts == {
        ("layer", "not hot"): pytest.approx(0.9 - 0.3),
        ("layer", "order of coldness"): pytest.approx(0.3 - 0.2),
        ("model", "layers"): pytest.approx(0.9 - 0.6),
        ("model", "not hot"): pytest.approx(0.6 - 0.4),
        ("model", "order of coldness"): pytest.approx(0.4 - 0.1),
    }
    assert {row["task"] for row in rows} == {"prose", "examples"}
    assert text_decomposition(arms, Orders(orders), "0.5", DRAWS) == []


def test_what_gives_no_interval_is_not_compared(orders):
    whole = [arm("cold", 0.2), arm("random", 0.9)]
    single = [arm(a.method, 0.2, tokens=np.array([50])) for a in whole]
    broken = [whole[0], arm("random", 0.9, nonfinite={"prose": 1, "examples": 0})]
    idle = [whole[0], arm("random", 0.9, untouched=frozenset({"prose"}))]

    def tasks(made):
        return [row["task"] for row in text_contrasts(made, Orders(orders), LEVEL, DRAWS)]

    assert tasks(whole) == ["prose", "examples"]
    assert tasks(single) == []
    assert tasks(broken) == tasks(idle) == ["examples"]


def test_models_are_compared_with_themselves(orders):
    made = [arm("cold", 0.2), arm("random", 0.9, model="n"), arm("cold", 0.1, model="n")]
    rows = text_contrasts(made, Orders(orders), LEVEL, DRAWS)
    assert {row["model"] for row in rows} == {"n"}
