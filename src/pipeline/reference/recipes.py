"""How each built-in backbone is made: architecture, data mixture and optimisation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a built-in backbone's weights, besides library and hardware.

    Tokens are counted over packed rows. `question_weight` is the loss weight of question tokens
    against 1 for answer tokens. `target_sparsity` steers an L1 pull on the FFN's inner activations
    so that this share of them is zero (None: no pull); it sets in after `pull_from` of the
    training, since a pull from the start kept `chain` from being learned.
    """

    name: str
    architecture: str
    config: Mapping[str, Any]
    seed: int = 1
    steps: int = 2400
    rows: int = 48
    row_length: int = 128
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    weight_decay: float = 0.1
    question_weight: float = 0.15
    curriculum_share: float = 0.35
    mixture: Mapping[str, float] = field(
        default_factory=lambda: {
            "addition": 1.0,
            "boolean": 0.7,
            "chain": 1.2,
            "copying": 1.3,
            "multihop": 1.3,
        }
    )
    target_sparsity: float | None = None
    pull_from: float = 0.45

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return dataclasses.asdict(self)


def _llama(hidden_act: str, intermediate_size: int) -> dict[str, Any]:
    return {
        "hidden_size": 128,
        "intermediate_size": intermediate_size,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        "hidden_act": hidden_act,
        "tie_word_embeddings": True,
    }


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("ref-reglu", "llama", _llama("relu", 512), target_sparsity=0.92),
        Recipe("ref-swiglu", "llama", _llama("silu", 512), seed=2),
    )
}
