"""Small random models of every architecture, and one architecture for each FFN view."""

from typing import Any

from pipeline.registry import ARCHITECTURES

#: Where the same code serves several architectures, what stands around the FFN makes no difference
#: to a method: tests of methods take one architecture of each view.
ONE_A_VIEW = tuple({view: name for name, view in ARCHITECTURES.items()}.values())


def small_model(architecture: str = "LlamaForCausalLM", seed: int = 0, **overrides: Any) -> Any:
    """A random model: two blocks, 16 channels, 24 neurons, the built-in language's vocabulary.

    Weights are large enough that greedy answers do not hang on the last bit of a sum.
    """
    import torch
    import transformers

    from pipeline.reference.vocabulary import BOS, EOS, PAD, VOCABULARY

    kind = getattr(transformers, architecture)
    sizes = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 16,
        "intermediate_size": 24,
        "ffn_dim": 24,
        "n_inner": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "hidden_act": "relu",
        "hidden_activation": overrides.get("hidden_act", "relu"),
        "head_dim": 8,
        "word_embed_proj_dim": 16,
        "activation_function": overrides.get("hidden_act", "relu"),
        "dropout": 0.0,
        "init_std": 0.3,
        "initializer_range": 0.3,
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    torch.manual_seed(seed)
    return kind(kind.config_class(**{**sizes, **overrides})).eval()
