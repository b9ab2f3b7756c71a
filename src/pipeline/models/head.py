"""A model's last hidden states, and the logits of those tokens alone that are scored.

The logits of a whole batch over a real vocabulary take more memory than all else in a forward pass,
and most belong to tokens that nobody scores. Here a pass ends before the output matrix, and logits
are made in pieces of a bounded size.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.models.memory import piece_rows

if TYPE_CHECKING:
    import torch


def hidden_states(model: Any, tokens: "torch.Tensor", attention: "torch.Tensor") -> "torch.Tensor":
    """What the output matrix reads, (sequences, length, d_model), for `tokens` and `attention`,
    (sequences, length).

    The model is called once, so all that watches it sees an ordinary pass, but it makes no logits.
    """
    found: list[torch.Tensor] = []

    def keep(_module: Any, given: tuple) -> tuple:
        found.append(given[0])
        return (given[0][:, :0], *given[1:])

    # First of all hooks, since the others work on what `logits` is given.
    hook = model.get_output_embeddings().register_forward_pre_hook(keep, prepend=True)
    try:
        model(input_ids=tokens, attention_mask=attention, use_cache=False)
    finally:
        hook.remove()
    return found[0]


def logits(model: Any, rows: "torch.Tensor") -> "torch.Tensor":
    """Logits, (tokens, vocabulary), of hidden states, (tokens, d_model), as the model itself makes
    them, with what it does behind the output matrix (capping, scaling)."""
    with _giving(model, rows[None]):
        # Not the call, whose hooks stand for a pass over tokens.
        found: torch.Tensor = model.forward(use_cache=False).logits[0]
    return found


class Scored(NamedTuple):
    """Of some tokens, (tokens,): log-probabilities in float32 or longer, and whether each is the
    likeliest."""

    logs: "torch.Tensor"
    likeliest: "torch.Tensor"


def scored(model: Any, rows: "torch.Tensor", targets: "torch.Tensor") -> Scored:
    """Of the tokens `targets`, (tokens,), each after the token whose hidden states are its row of
    `rows`, (tokens, d_model)."""
    import torch

    logs, likeliest = [], []
    for part in pieces(len(rows), model):
        whole = logs_of(model, rows[part])
        wanted = targets[part].to(whole.device)
        logs.append(whole.gather(1, wanted[:, None])[:, 0].to(targets.device))
        likeliest.append((whole.argmax(1) == wanted).to(targets.device))
    return Scored(torch.cat(logs), torch.cat(likeliest))


def logs_of(model: Any, rows: "torch.Tensor") -> "torch.Tensor":
    """Log-probabilities of every next token, (tokens, vocabulary), in float32 or longer."""
    import torch

    found = logits(model, rows)
    return found.log_softmax(-1, dtype=torch.promote_types(found.dtype, torch.float32))


def pieces(rows: int, model: Any, copies: int = 1) -> list[slice]:
    """Parts, at least one, of so many tokens whose logits are made at once; with `copies` as many
    logits as scoring takes."""
    size = piece_rows(model.get_output_embeddings().weight.shape[0], copies)
    return [slice(start, min(rows, start + size)) for start in range(0, max(1, rows), size)]


def summed(piece: "Callable[[slice], torch.Tensor]", parts: list[slice]) -> "torch.Tensor":
    """The sum of a scalar over parts of the tokens.

    With gradients, no part's logits are kept: each makes them anew when its gradient is asked for.
    """
    from torch.utils.checkpoint import checkpoint

    if len(parts) == 1:
        return piece(parts[0])
    found: torch.Tensor = sum(checkpoint(piece, part, use_reentrant=False) for part in parts)
    return found


@contextmanager
def _giving(model: Any, hidden: "torch.Tensor") -> Iterator[None]:
    """In place of the model without its output matrix, something that returns `hidden`."""
    name = model.base_model_prefix
    whole = model._modules[name]
    model._modules[name] = _given(hidden)
    try:
        yield
    finally:
        model._modules[name] = whole


def _given(hidden: "torch.Tensor") -> Any:
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions

    class Given(torch.nn.Module):
        """A base model that has run already."""

        @property
        def decoder(self) -> "Given":
            """Itself: some models (OPT) ask a part of the base model."""
            return self

        def forward(self, *_: Any, **__: Any) -> Any:
            return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=hidden)

    return Given()
