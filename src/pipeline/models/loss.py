"""Loss of a model on token sequences."""

from collections.abc import Sequence
from typing import Any

from pipeline.models.batches import Batch


def text_loss(model: Any, batches: Sequence[Batch]) -> float | None:
    """Mean loss in nats a token, float64 sums; None without a token to predict.

    The loss is over every token that is not special, except a sequence's first, which nothing
    predicts.
    """
    import torch

    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            logits = model(
                input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False
            ).logits
            # Logits take the most memory by far, so only those that count are made float32.
            counted = batch.counted[:, 1:]
            losses = torch.nn.functional.cross_entropy(
                logits[:, :-1][counted].float(), batch.tokens[:, 1:][counted], reduction="none"
            )
            total += float(losses.double().sum())
            tokens += int(counted.sum())
    return total / tokens if tokens else None
