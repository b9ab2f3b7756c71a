"""Greedy generation in which every sequence of a batch ends by itself.

A model folder's generation settings change only where an answer ends: only the end tokens are read
from them.

The harness ends a batch only when all its sequences have written the same stop text; until then,
finished sequences continue. Ending each one by itself saves those steps, and tells the meter which
tokens belong to an answer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.models.tokens import end_tokens

if TYPE_CHECKING:
    import torch

#: How many tokens beyond a stop text's own length are searched, since the text may be split into
#: other tokens.
_MORE = 2


@contextmanager
def greedy(model: Any, tokenizer: Any, length: int) -> Iterator[Any]:
    """Settings for greedy generation up to `length` tokens, prompt included, during the block.

    They replace the model's own, which are set aside meanwhile, because transformers fills in from
    those what a call leaves out.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        use_cache=True,
        max_length=length,
        eos_token_id=sorted(end_tokens(tokenizer, own)),
        pad_token_id=tokenizer.pad_token_id,
    )
    model.generation_config = settings
    try:
        yield settings
    finally:
        model.generation_config = own


class Written(NamedTuple):
    """What is recorded of an answer: its tokens, including one that ends it, and whether every
    step's scores were finite numbers."""

    tokens: int
    finite: bool


class Scores:
    """Observes the scores of every step's next tokens while answers are written, without changing
    them.

    `running` tells which sequences had not ended before the step, (sequences,) bool.
    """

    def __init__(self, running: "Callable[[], torch.Tensor]") -> None:
        self._running = running
        self._tokens: torch.Tensor | int = 0
        self._lost: torch.Tensor | int = 0

    def __call__(self, tokens: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
        """The scores, (sequences, words), as they are. Minus infinity marks a word that cannot
        come; a step with NaN or infinity, or in which no word can come, counts as not finite."""
        running = self._running()
        self._tokens = self._tokens + running.long()
        self._lost = self._lost + (running & ~scores.amax(1).isfinite()).long()
        return scores

    def written(self) -> list[Written]:
        """What was recorded of each sequence of the batch."""
        import torch

        counts = torch.stack([torch.as_tensor(self._tokens), torch.as_tensor(self._lost)], 1)
        return [Written(tokens, not lost) for tokens, lost in counts.tolist()]


class StopTexts:
    """Marks, step by step, the sequences that have written one of the stop texts."""

    def __init__(self, tokenizer: Any, texts: list[str], prompt: int) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.ended: torch.Tensor | None = None
        ids = {text: tokenizer.encode(text, add_special_tokens=False) for text in texts}
        special = set(tokenizer.all_special_ids)
        self.tokens = {i[0] for i in ids.values() if len(i) == 1 and i[0] in special}
        self.texts = {t: len(i) for t, i in ids.items() if not self.tokens.intersection(i)}

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """(sequences,) bool after a step; `tokens`, (sequences, length), hold prompt and answer."""
        import torch

        if self.ended is None:
            self.ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for token in self.tokens:
            self.ended = self.ended | (tokens[:, -1] == token)
        if self.texts:
            answers = tokens[:, self.prompt :][:, -(max(self.texts.values()) + _MORE) :]
            written = self.tokenizer.batch_decode(answers)
            found = [any(text in answer for text in self.texts) for answer in written]
            self.ended = self.ended | torch.tensor(found, device=tokens.device)
        return self.ended
