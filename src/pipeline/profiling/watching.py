"""Run a model's blocks over a batch and hand their tensors to receivers."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.models.batches import Batch, at_places, places_of
from pipeline.models.views import FFNView

if TYPE_CHECKING:
    import torch

    Receiver = Callable[[torch.Tensor], None]


class Watch:
    """Hooks on a model's modules. Receivers get (counted tokens, channels) of the batch at hand, at
    most `chunk(channels)` tokens at a time, so that what fits into a CPU's cache is fetched once
    for many uses."""

    def __init__(self, ends: ExitStack, chunk: "Callable[[int], int] | None") -> None:
        self._ends = ends
        self._chunk = chunk
        self._places: torch.Tensor | None = None
        self._parts: dict[int, list[torch.Tensor | slice]] = {}

    def input(self, module: "torch.nn.Module", receive: "Receiver") -> None:
        """Watch what a module reads."""
        hook = module.register_forward_pre_hook(lambda _, given: self._hand(given[0], receive))
        self._ends.callback(hook.remove)

    def output(self, module: "torch.nn.Module", receive: "Receiver") -> None:
        """Watch what a module returns."""
        hook = module.register_forward_hook(lambda _m, _i, given: self._hand(given, receive))
        self._ends.callback(hook.remove)

    def hidden(self, ffn: FFNView, receive: "Receiver") -> None:
        """Watch an FFN's h."""
        self._ends.callback(ffn.watch(lambda h: self._hand(h, receive)).remove)

    def run(self, model: Any, batch: Batch) -> None:
        """Run the blocks over a batch; the language-model head is not needed for any statistic."""
        self._places, self._parts = places_of(batch.counted), {}
        model.base_model(input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False)

    def _hand(self, values: "torch.Tensor", receive: "Receiver") -> None:
        for places in self._tokens(values.shape[-1]):
            receive(at_places(values, places))

    def _tokens(self, channels: int) -> "list[torch.Tensor | slice]":
        """Places of the batch's counted tokens, in parts of the size for that many channels."""
        if self._places is None:
            raise ValueError("a watched model runs through Watch.run")
        size = max(1, len(self._places)) if self._chunk is None else self._chunk(channels)
        if size not in self._parts:
            self._parts[size] = [_run(part) for part in self._places.split(size)]
        return self._parts[size]


def _run(places: "torch.Tensor") -> "torch.Tensor | slice":
    """The places, as a slice where they are contiguous, since a slice copies nothing."""
    if not len(places):
        return places
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == len(places) else places


@contextmanager
def watching(chunk: "Callable[[int], int] | None" = None) -> Iterator[Watch]:
    """A Watch whose hooks end with the block; it hands over all tokens at once without `chunk`."""
    with ExitStack() as ends:
        yield Watch(ends, chunk)


@contextmanager
def called(modules: "Iterable[torch.nn.Module | None]") -> "Iterator[Counter[torch.nn.Module]]":
    """How often each of the modules is called during the block."""
    found: Counter[torch.nn.Module] = Counter()
    with ExitStack() as ends:
        for module in filter(None, modules):
            hook = module.register_forward_hook(lambda which, _i, _o: found.update([which]))
            ends.callback(hook.remove)
        yield found
