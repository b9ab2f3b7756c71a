"""Model cards hold the measured figures."""

import polars as pl

from pipeline.reference.card import card, facts_of
from pipeline.reference.recipes import Recipe
from pipeline.tables.training import CARD

RECORD = {"name": "small", "activation": "relu", "parameters": 1_234}
DENSE = [
    {"model": "small", "task": "chain", "reasoning": True, "steps": steps, "n": n,
     "accuracy": accuracy, "chance": 0.1}
    for steps, n, accuracy in ((None, 3, 2 / 3), (2, 2, 0.5), (3, 1, 1.0))
]  # fmt: skip
SAMPLES = pl.DataFrame(
    {
        "task": ["chain", "prose", "prose"],
        "correct": [True, None, None],
        "nats": [None, 10.0, 5.0],
        "scored_tokens": [None, 4, 2],
    }
)
LAYERS = pl.DataFrame({"natural_sparsity": [0.5, 0.75]})
TRAINING = {
    "hardware": "a processor, 1 thread",
    "rows": [
        {"step": 20, "tokens": 1_000, "loss": 2.5, "zero_share": None},
        {"step": 40, "tokens": 2_000, "loss": 1.25, "zero_share": 0.5},
    ],
}


def facts():
    return facts_of(RECORD, DENSE, SAMPLES, LAYERS, {"hot": 30, "neurons": 120})


def test_facts_are_sums_over_texts_and_means_over_layers():
    found = facts()
    assert set(found) == set(CARD.keys)
    assert found["log_perplexity"] == {"prose": 2.5}
    assert (found["natural_sparsity"], found["hot_share"]) == (0.625, 0.25)


def test_a_card_tells_recipe_hardware_accuracy_sparsity_and_loss():
    text = card(Recipe("small", "llama", {"hidden_size": 16}), TRAINING, facts())
    assert text.startswith("---\nlicense: ") and text.count("\n# small\n") == 1
    assert "1,234 parameters: hidden_size 16." in text
    assert "2,000 token positions seen, on a processor, 1 thread;" in text
    assert "| chain | all | 66.7% | 10.0% | 3 |" in text
    assert "| | 2 | 50.0% | 10.0% | 2 |" in text
    assert "prose: 2.5000 nats a token." in text
    assert "| 1 | 75.0% |" in text and "25.0% of the neurons carry 80 %" in text
    assert "| 20 | 2.5000 |  |" in text and "| 40 | 1.2500 | 50.0% |" in text
