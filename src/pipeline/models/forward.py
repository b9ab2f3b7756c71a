"""The current forward pass: which of its tokens count, at which tokens a method is at work, and
which weights it does not read there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.batches import at_places, places_of

if TYPE_CHECKING:
    import torch

#: Where in a sequence a method that goes token by token starts: a word, or so many tokens in.
START, CONTINUATION = "start", "continuation"


@dataclass(frozen=True)
class Skipped:
    """Neurons that a method skips, by what must be computed to know that they can be; each set is
    (sequences, length, d_ff) bool or None, and no neuron is in two sets.

    `before` needs nothing of the neuron, `gate` needs its gate row, and `hidden` needs all of h.
    The latter two are marked only where h is not zero by itself.
    """

    before: "torch.Tensor | None" = None
    gate: "torch.Tensor | None" = None
    hidden: "torch.Tensor | None" = None


class Forward:
    """What is known of a model's forward pass while it runs.

    The caller of the model sets `ended` (which sequences of a batch have ended, (sequences,) bool,
    or None), `contexts` (for likelihoods: how many tokens of each sequence are context,
    (sequences,) int) and `text` (for perplexity: all of a sequence is scored). Methods set `kept`,
    `live`, `extra` and `skipped`; `removed`, (layers, d_ff) bool, are neurons gone for good, and
    `pruned` holds, for each pruned matrix, which weights are left, (outputs, inputs) bool. `stop`
    are tokens after which a sequence is over.
    """

    def __init__(
        self,
        stop: frozenset[int] = frozenset(),
        sparse_from: str | int = START,
        removed: np.ndarray | None = None,
        pruned: "dict[torch.nn.Module, torch.Tensor] | None" = None,
    ) -> None:
        self.stop = stop
        self.sparse_from = sparse_from
        self.removed = removed
        self.pruned = pruned or {}
        self.ended: Callable[[], torch.Tensor | None] = lambda: None
        self.contexts: torch.Tensor | None = None
        self.text = False
        #: Channels that a module reads, or that are zero by themselves, (sequences, length,
        #: channels) bool, in the last pass.
        self.kept: dict[torch.nn.Module, torch.Tensor] = {}
        #: Those of them that are not zero by themselves.
        self.live: dict[torch.nn.Module, torch.Tensor] = {}
        #: Further weights that a module read per token in the last pass, in place of the skipped
        #: ones or for the method to decide what to skip.
        self.extra: dict[torch.nn.Module, int] = {}
        self.skipped: dict[int, Skipped] = {}
        self._end()

    def _end(self) -> None:
        """Reset what is known only during a pass."""
        #: True for a pass that begins sequences, false for a step that goes on with them.
        self.begins = True
        #: Tokens that count, (sequences, length) bool; None outside a pass.
        self.counted: torch.Tensor | None = None
        #: How many these are.
        self.tokens = 0
        #: Tokens that are not padding, (sequences, length) bool.
        self.present: torch.Tensor | None = None
        #: Tokens at which the method is at work, (sequences, length) bool; None for all.
        self.sparse: torch.Tensor | None = None
        self._running: torch.Tensor | None = None
        self._read: torch.Tensor | None = None
        self._places: torch.Tensor | None = None

    @contextmanager
    def watching(self, model: Any) -> Iterator[None]:
        """Watch every forward pass of the model during the block."""
        hook = model.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()
            self._end()

    def counted_of(self, values: "torch.Tensor") -> "torch.Tensor":
        """The values of the tokens that count, (tokens, channels), from (sequences, length,
        channels) or (sequences * length, channels)."""
        return at_places(values, self._places)

    @property
    def working(self) -> int:
        """Tokens that count at which the method is at work."""
        if self.sparse is None or self.counted is None:
            return self.tokens
        return int((self.counted & self.sparse).sum())

    @property
    def running(self) -> "torch.Tensor":
        """Sequences that had not ended before the last pass, (sequences,) bool; ValueError where no
        pass was watched."""
        if self._running is None:
            raise ValueError("no forward pass was watched")
        return self._running

    def _before(self, _module: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        tokens: torch.Tensor = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        attention = kwargs.get("attention_mask")
        running = self._running
        self.begins = running is None or _begins(tokens, attention, len(running))
        if running is None or self.begins:
            self._running = tokens.new_ones(tokens.shape[0]).bool()
            marked = tokens.new_ones(tokens.shape).bool()
            if attention is not None:
                marked = attention[:, -tokens.shape[1] :].bool()
        else:
            ended = self.ended()
            for token in self.stop:
                running = running & (tokens[:, 0] != token)
            self._running = running = running if ended is None else running & ~ended
            marked = running[:, None]
        self.counted = marked
        places = places_of(marked)
        self.tokens = len(places)
        self._places = None if self.tokens == marked.numel() else places
        self.present = marked if self.begins else tokens.new_ones(tokens.shape).bool()
        self.sparse = self._sparse(tokens, self.present)
        self.kept, self.live, self.extra, self.skipped = {}, {}, {}, {}

    def _sparse(self, tokens: "torch.Tensor", present: "torch.Tensor") -> "torch.Tensor | None":
        """A dense start would make the loss of a text falsely small, so texts have none."""
        if self.text or self.sparse_from == START:
            return None
        if self.sparse_from == CONTINUATION:
            if not self.begins:
                return None
            if self.contexts is None:
                return tokens.new_zeros(tokens.shape).bool()
            places = tokens.new_ones(tokens.shape).cumsum(1) - 1
            return places >= self.contexts.to(tokens.device)[:, None]
        # Padding stands on the left of prompts, and does not count as a place in a sequence.
        read = present.cumsum(1)
        if self._read is not None and not self.begins:
            read = read + self._read
        self._read = read[:, -1:]
        return read > int(self.sparse_from)


def _begins(tokens: "torch.Tensor", attention: "torch.Tensor | None", sequences: int) -> bool:
    """True for prompts, false for a step of `sequences`: its mask is longer than its one token."""
    if tokens.shape[1] > 1 or len(tokens) != sequences:
        return True
    return attention is not None and attention.shape[1] == tokens.shape[1]
