"""Model cards hold the measured figures."""

from pipeline.reference.card import card, tally
from pipeline.reference.recipes import Recipe

SAMPLES = [
    {"task": "chain", "steps": 2, "correct": True},
    {"task": "chain", "steps": 2, "correct": False},
    {"task": "chain", "steps": 3, "correct": True},
    {"task": "copying", "steps": 0, "correct": True},
]


def test_right_answers_are_counted_by_task_and_steps():
    assert tally(SAMPLES) == {("chain", 2): (1, 2), ("chain", 3): (1, 1), ("copying", 0): (1, 1)}


def test_a_card_tells_recipe_accuracy_zeros_and_loss():
    sparsity = [
        {"task": task, "basis": basis, "neuron_sparsity": share}
        for task, basis, share in [
            ("chain", "imposed", 0.0), ("chain", "total", 0.75),
            ("copying", "imposed", 0.0), ("copying", "total", 0.5),
        ]
    ]  # fmt: skip
    curve = [
        {"step": 20, "tokens": 1_000, "loss": 2.5, "zero_share": None},
        {"step": 40, "tokens": 2_000, "loss": 1.25, "zero_share": 0.5},
    ]
    text = card(Recipe("small", "llama", {"hidden_size": 16}), curve, tally(SAMPLES), sparsity)
    assert text.startswith("---\nlicense: ") and text.count("\n# small\n") == 1
    assert "hidden_size 16" in text and "2,000 token positions" in text
    assert "| chain | all | 0.667 | 3 | 0.750 |" in text
    assert "| | 2 | 0.500 | 2 | |" in text
    assert "| copying | all | 1.000 | 1 | 0.500 |" in text
    assert "| 20 | 2.5000 |  |" in text and "| 40 | 1.2500 | 0.500 |" in text
