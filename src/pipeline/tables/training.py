"""The built-in backbones: how training went, and the facts on their cards."""

from pipeline.tables.base import Document

LOSS_CURVE = Document(
    "loss_curve",
    2,
    "Loss while a built-in backbone was trained.",
    {
        "recipe": "the recipe's fields",
        "hardware": "what it was trained on",
        "rows": "step, tokens seen, loss in nats a token (weighted), share of zero activations "
        "(null where it is not measured)",
    },
)

CARD = Document(
    "card",
    1,
    "A built-in backbone in measured figures.",
    {
        "model": "name",
        "activation": "activation function by its Hugging Face name",
        "parameters": "number of parameters",
        "dense": "rows: task, reasoning, steps (null for all), n, accuracy, chance",
        "log_perplexity": "task -> nats a token, of the tasks that score texts",
        "layers": "rows: natural_sparsity of each layer, on the built-in reasoning corpus",
        "natural_sparsity": "mean of the layers'",
        "hot_share": "share of the FFN neurons that carries 80 % of all activations there",
    },
)
