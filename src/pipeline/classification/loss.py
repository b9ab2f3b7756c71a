"""What removing neurons costs on text, in nats a token."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.models.batches import batches
from pipeline.models.loss import text_loss
from pipeline.models.memory import LOSS_ROOM, read_bytes
from pipeline.models.size import of_loaded
from pipeline.models.views import view


class Removal:
    """Mean loss of a model on token sequences, with any of its neurons removed.

    The loss is taken over every token that is not special, except a sequence's first, which nothing
    predicts; UserError when there is none.
    """

    def __init__(
        self, model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int]
    ) -> None:
        self.model = model
        self.layout = view(model)
        self.device = next(model.parameters()).device
        size = of_loaded(model)

        def fits(length: int) -> int:
            return LOSS_ROOM.of(read_bytes(size, length))

        self.batches = list(batches(sequences, fits, special, str(self.device)))
        self._whole: float | None = None

    def rise(self, removed: np.ndarray) -> float:
        """Loss without the neurons, (neurons of the model,) bool by layer and index, less the
        whole model's."""
        if self._whole is None:
            self._whole = self.loss(np.zeros_like(removed))
        return self.loss(removed) - self._whole

    def loss(self, removed: np.ndarray) -> float:
        """Mean loss in nats a token."""
        import torch

        masks = np.split(~removed, np.cumsum([ffn.d_ff for ffn in self.layout.ffns])[:-1])
        with ExitStack() as ends:
            for ffn, mask in zip(self.layout.ffns, masks, strict=True):
                kept = torch.from_numpy(mask).to(self.device)
                ends.callback(ffn.replace(kept.mul).remove)
            found = text_loss(self.model, self.batches)
        if found is None:
            raise UserError(
                "the corpus that perplexity is measured on has no token to predict; give more text"
            )
        return found
