"""Loss of a model on token sequences."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pipeline.models.batches import Batch
from pipeline.models.head import hidden_states, scored
from pipeline.models.memory import Halving


def text_loss(model: Any, batches: Sequence[Batch]) -> float | None:
    """Mean loss in nats a token, float64 sums; None without a token to predict.

    The loss is over every token that is not special, except a sequence's first, which nothing
    predicts.
    """
    import torch

    halving = Halving()
    sums: list[tuple[float, int]] = []
    with torch.inference_mode():
        for batch in batches:
            sums += halving.run(range(len(batch.rows)), partial(_loss, model, batch))
    tokens = sum(each for _, each in sums)
    return sum(total for total, _ in sums) / tokens if tokens else None


def _loss(model: Any, whole: Batch, places: Sequence[int]) -> list[tuple[float, int]]:
    """(sum of losses, tokens) of some sequences of a batch, as the only one of a list."""
    batch = whole.part(places)
    counted = batch.counted[:, 1:]
    hidden = hidden_states(model, batch.tokens, batch.attention)[:, :-1]
    rows = hidden[counted.to(hidden.device)]
    found = scored(model, rows, batch.tokens[:, 1:][counted])
    return [(-float(found.logs.double().sum()), int(counted.sum()))]
