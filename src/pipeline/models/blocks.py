"""A model's blocks, run one by one, to fit what a method does to a block on that block's own
inputs."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.models.batches import Batch, marked

if TYPE_CHECKING:
    import torch


class Blocks:
    """The calls that a forward pass makes of every block, to be made again with other inputs.

    A pass over all batches records what the blocks are given besides the hidden state (masks,
    positions), which no block changes, and keeps the hidden states that reach the first block,
    (sequences, length, d_model) per batch.
    """

    def __init__(
        self, model: Any, blocks: "Sequence[torch.nn.Module]", batches: Sequence[Batch]
    ) -> None:
        import torch

        self.blocks = blocks
        self.batches = batches
        self.first: list[torch.Tensor] = []
        self._calls: list[list[tuple[tuple, dict[str, Any]]]] = []
        with ExitStack() as ends, torch.inference_mode():
            for place, block in enumerate(blocks):
                hook = block.register_forward_pre_hook(self._noting(place), with_kwargs=True)
                ends.callback(hook.remove)
            for batch in batches:
                self._calls.append([])
                model.base_model(
                    input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False
                )

    def run(self, layer: int, hidden: "Sequence[torch.Tensor]") -> "list[torch.Tensor]":
        """The block's outputs for hidden states of its input, one tensor per batch."""
        import torch

        found = []
        with torch.inference_mode():
            for calls, given in zip(self._calls, hidden, strict=True):
                args, kwargs = calls[layer]
                output = self.blocks[layer](given, *args, **kwargs)
                found.append(output[0] if isinstance(output, tuple) else output)
        return found

    def counted(self, values: "Sequence[torch.Tensor]") -> "torch.Tensor":
        """The counted tokens of all batches, (tokens, channels)."""
        import torch

        pairs = zip(self.batches, values, strict=True)
        return torch.cat([marked(each, batch.counted) for batch, each in pairs])

    @contextmanager
    def inputs(self, modules: "Sequence[torch.nn.Module]") -> "Iterator[dict[Any, list]]":
        """Record what the modules read during the block, one tensor per batch."""
        found: dict[torch.nn.Module, list[torch.Tensor]] = {module: [] for module in modules}
        with ExitStack() as ends:
            for module in modules:
                hook = module.register_forward_pre_hook(
                    lambda which, given: found[which].append(given[0])
                )
                ends.callback(hook.remove)
            yield found

    def _noting(self, place: int) -> Any:
        def note(_block: object, args: tuple, kwargs: dict[str, Any]) -> None:
            kwargs = dict(kwargs)
            hidden = args[0] if args else kwargs.pop("hidden_states")
            self._calls[-1].append((args[1:], kwargs))
            if not place:
                self.first.append(hidden)

        return note
