"""How each built-in backbone is made: architecture, data mixture and optimisation."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a built-in backbone's weights, besides library and hardware.

    Tokens are counted over packed rows; `mixture` are the families' shares of the examples.
    `question_weight` is the loss weight of question tokens against 1 for answer tokens. `precision`
    is the type that matrices are multiplied in (weights and updates stay float32): bfloat16 takes
    two thirds of the time on a processor that has it. The learning rate warms up and falls along a
    cosine, `cycles` times (warm restarts, arXiv 1608.03983). `target_sparsity` steers an L1 pull on
    the activation function's outputs, of gated FFNs only, so that this share of them is zero (None:
    no pull); it sets in after `pull_from` of the training, since a pull from the start kept `chain`
    from being learned.
    """

    name: str
    architecture: str
    config: Mapping[str, Any]
    seed: int = 1
    steps: int = 5000
    rows: int = 24
    row_length: int = 128
    learning_rate: float = 3e-3
    warmup_steps: int = 200
    cycles: int = 1
    weight_decay: float = 0.1
    question_weight: float = 0.15
    precision: str = "bfloat16"
    curriculum_share: float = 0.25
    mixture: Mapping[str, float] = field(
        default_factory=lambda: {
            "addition": 1.2,
            "boolean": 0.5,
            "boolean_direct": 0.7,
            "chain": 1.4,
            "chain_direct": 2.2,
            "copying": 0.5,
            "multihop": 1.0,
            "prose": 0.4,
            "reciting": 0.4,
            "sorting": 0.5,
            "tracking": 1.3,
        }
    )
    target_sparsity: float | None = None
    pull_from: float = 0.4

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return dataclasses.asdict(self)


_SHAPE = {"num_hidden_layers": 4, "num_attention_heads": 4, "max_position_embeddings": 256}


def _gated(hidden_act: str, hidden_size: int, intermediate_size: int) -> dict[str, Any]:
    return _SHAPE | {
        "hidden_size": hidden_size,
        "intermediate_size": intermediate_size,
        "num_key_value_heads": 4,
        "hidden_act": hidden_act,
        "tie_word_embeddings": True,
    }


_GEMMA = _gated("gelu_pytorch_tanh", 128, 384) | {"head_dim": 32}
_OPT = _SHAPE | {
    "hidden_size": 128,
    "word_embed_proj_dim": 128,
    "ffn_dim": 512,
    "activation_function": "relu",
    "dropout": 0.0,
}
_GPT_NEOX = _SHAPE | {
    "hidden_size": 128,
    "intermediate_size": 512,
    "hidden_act": "gelu",
    "rotary_pct": 0.5,
    "use_parallel_residual": True,
    "tie_word_embeddings": True,
}

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("ref-reglu", "llama", _gated("relu", 112, 1024), target_sparsity=0.94),
        # With learned absolute positions, the places of a chain are learned one after the other.
        Recipe("ref-opt", "opt", _OPT, seed=2, steps=10000, cycles=2, curriculum_share=0.125),
        Recipe("ref-swiglu", "llama", _gated("silu", 128, 384), seed=3),
        Recipe("ref-geglu", "gemma", _GEMMA, seed=4),
        Recipe("ref-gelu", "gpt_neox", _GPT_NEOX, seed=5),
    )
}
