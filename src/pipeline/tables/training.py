"""The loss curve of a built-in backbone's training."""

from pipeline.tables.base import Document

LOSS_CURVE = Document(
    "loss_curve",
    1,
    "Loss while a built-in backbone was trained.",
    {
        "recipe": "the recipe's fields",
        "rows": "step, tokens seen, loss in nats a token (weighted), share of zero activations "
        "(null where it is not measured)",
    },
)
