"""Run a model's blocks over a batch and hand what passes to receivers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.models.batches import Batch
from pipeline.models.views import FFNView, counted

if TYPE_CHECKING:
    import torch

    Receiver = Callable[[torch.Tensor], None]


class Watch:
    """Hooks on a model's modules; receivers get (counted tokens, channels) of the batch at hand."""

    def __init__(self, ends: ExitStack) -> None:
        self._ends = ends
        self._batch: Batch | None = None

    def input(self, module: "torch.nn.Module", receive: "Receiver") -> None:
        """Watch what a module reads."""
        self._keep(module.register_forward_pre_hook(lambda _, given: receive(self._of(given[0]))))

    def output(self, module: "torch.nn.Module", receive: "Receiver") -> None:
        """Watch what a module gives."""
        self._keep(module.register_forward_hook(lambda _m, _i, given: receive(self._of(given))))

    def hidden(self, ffn: FFNView, receive: "Receiver") -> None:
        """Watch an FFN's h."""
        self._keep(ffn.watch(lambda h: receive(self._of(h))))

    def run(self, model: Any, batch: Batch) -> None:
        """Run the blocks over a batch; the language-model head is not needed for any statistic."""
        self._batch = batch
        model.base_model(input_ids=batch.tokens, attention_mask=batch.attention, use_cache=False)

    def _of(self, values: "torch.Tensor") -> "torch.Tensor":
        assert self._batch is not None, "a model runs through Watch.run"
        return counted(values, self._batch.counted)

    def _keep(self, handle: Any) -> None:
        self._ends.callback(handle.remove)


@contextmanager
def watching() -> Iterator[Watch]:
    """A Watch whose hooks end with the block."""
    with ExitStack() as ends:
        yield Watch(ends)
