"""Profile one shard of the calibration sequences: one streaming pass, no activation kept."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pipeline.config.profile import Profile
from pipeline.models.batches import Batch, batches
from pipeline.models.memory import Halving, Room, read_bytes
from pipeline.models.size import of_loaded
from pipeline.models.views import FFNView, Projection, input_device, view
from pipeline.profiling.inputs import Input, inputs_of
from pipeline.profiling.statistics import Histogram, Moments, chunk
from pipeline.profiling.watching import Watch, called, watching

if TYPE_CHECKING:
    import torch

    from pipeline.profiling.watching import Receiver


def profile_shard(
    model: Any,
    sequences: Sequence[Sequence[int]],
    special: Sequence[int],
    above: Sequence[np.ndarray],
    config: Profile,
    shard: int,
    shards: int,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """(rows of NEURON_BLOCKS, of CHANNEL_BLOCKS, of HISTOGRAMS) for the shard's whole blocks.

    `above` holds, layer by layer, the magnitudes of h, (d_ff,), above which a neuron contributes
    more than the CETT threshold (`magnitudes`). Memory does not grow with the tokens: a block's
    sums are kept until the end, and there are `config.blocks` of them.
    """
    import torch

    layout = view(model)
    device, size = input_device(model), of_loaded(model)
    room = Room(config.batch_size, config.batch_megabytes)

    def fits(length: int) -> int:
        return room.of(read_bytes(size, length))

    neurons: list[pl.DataFrame] = []
    channels: list[pl.DataFrame] = []
    with torch.inference_mode():
        probe = torch.tensor([list(sequences[0][:2])], device=device)
        with called(ffn.act_module for ffn in layout.ffns) as acts:
            run = partial(model.base_model, input_ids=probe)
            inputs = inputs_of(layout.blocks, layout.ffns, run)
        layers = [
            _Layer(ffn, found, least, acts[ffn.act_module] == 1)
            for ffn, found, least in zip(layout.ffns, inputs, above, strict=True)
        ]
        halving = Halving(lambda: _all([layer.mark() for layer in layers]))
        with watching(chunk if device.type == "cpu" else None) as watch:
            for layer in layers:
                layer.attach(watch)
            for block in blocks_of_shard(config.blocks, shard, shards):
                for layer in layers:
                    layer.begin()
                rows = sequences[of_block(len(sequences), config.blocks, block)]
                for batch in batches(rows, fits, special, str(device)):
                    halving.run(range(len(batch.rows)), _watched(watch, model, batch))
                for place, layer in enumerate(layers):
                    neurons.extend(layer.neurons(block=block, layer=place))
                    channels.extend(layer.channels(block=block, layer=place))
    histograms = [part for place, layer in enumerate(layers) for part in layer.bins(layer=place)]
    return _together(neurons), _together(channels), _together(histograms)


def _watched(watch: Watch, model: Any, batch: Batch) -> Callable[[Sequence[int]], list[None]]:
    """Runs some sequences of a batch, which gives nothing but what is counted."""

    def run(places: Sequence[int]) -> list[None]:
        watch.run(model, batch.part(places))
        return []

    return run


def _all(steps: Sequence[Callable[[], None]]) -> Callable[[], None]:
    """One step for all."""

    def run() -> None:
        for step in steps:
            step()

    return run


def blocks_of_shard(blocks: int, shard: int, shards: int) -> range:
    """Blocks that shard number `shard` of `shards` sums: a run of whole ones, or none."""
    return range(blocks * shard // shards, blocks * (shard + 1) // shards)


def of_block(sequences: int, blocks: int, block: int) -> slice:
    """The sequences of a block; their number differs by one at most."""
    return slice(sequences * block // blocks, sequences * (block + 1) // blocks)


def magnitudes(thresholds: pl.DataFrame, norms: pl.DataFrame) -> list[np.ndarray]:
    """For every layer the |h| of each neuron at which its contribution is the CETT threshold, from
    tables.sampled.THRESHOLDS and NORMS; infinite for a neuron without output weights."""
    found = []
    for layer, eps in zip(thresholds["layer"], thresholds["cett_threshold"], strict=True):
        norm = norms.filter(pl.col("layer") == layer).sort("neuron")["down_norm"].to_numpy()
        found.append(np.divide(eps, norm, out=np.full(norm.size, np.inf), where=norm > 0))
    return found


class _Layer:
    """What is counted in one layer: moments of every linear input, started anew for each block, and
    histograms of these inputs and of the FFN's inner tensors, over all blocks."""

    def __init__(
        self, ffn: FFNView, inputs: Sequence[Input], above: np.ndarray, acts: bool
    ) -> None:
        """`acts` where a pass calls the FFN's `act_module`, and once."""
        import torch

        self.ffn = ffn
        self.acts = acts
        self.inputs = inputs
        self.above = torch.from_numpy(above).float()
        self.histograms: dict[str, Histogram] = {}
        self.moments: list[Moments] = []

    def begin(self) -> None:
        """Start counting a block anew."""
        self.moments = [
            Moments(found.channels, self.above if found.neurons else None) for found in self.inputs
        ]

    def mark(self) -> Callable[[], None]:
        """What undoes all that is counted from now on."""
        moments = [each.mark() for each in self.moments]
        return _all([*moments, *(each.mark() for each in self.histograms.values())])

    def attach(self, watch: Watch) -> None:
        """Watch every input, and the outputs of the FFN's matrices."""
        for place, found in enumerate(self.inputs):
            watch.input(found.module, self._adding(place, self._histogram(found.linears)))
        names = ("ffn.gate", "ffn.up") if self.ffn.gated else ("ffn.up",)
        for name, projection in zip(names, self.ffn.inner, strict=True):
            watch.output(projection.module, _of(projection, self._histogram(name).add))
        if self.ffn.gated:
            gate, add = self.ffn.inner[0], self._histogram("ffn.activation").add
            if self.acts and self.ffn.act_module is not None:
                watch.output(self.ffn.act_module, add)
            else:
                watch.output(gate.module, _of(gate, lambda values: add(self.ffn.act(values))))
        watch.output(self.ffn.down.module, self._histogram("ffn.output").add)

    def neurons(self, **key: int) -> Iterator[pl.DataFrame]:
        """Rows of NEURON_BLOCKS for the block that ends."""
        for given, moments in zip(self.inputs, self.moments, strict=True):
            if given.neurons:
                yield _rows(key, neuron=np.arange(given.channels), **moments.columns())

    def channels(self, **key: int) -> Iterator[pl.DataFrame]:
        """Rows of CHANNEL_BLOCKS for the block that ends."""
        for given, moments in zip(self.inputs, self.moments, strict=True):
            if not given.neurons:
                columns = moments.columns()
                del columns["active_cett"]
                index = np.arange(given.channels)
                yield _rows({**key, "linears": given.linears}, channel=index, **columns)

    def bins(self, **key: int) -> Iterator[pl.DataFrame]:
        """Rows of HISTOGRAMS, summed over all blocks."""
        for tensor, histogram in self.histograms.items():
            yield _rows({**key, "tensor": tensor}, **histogram.columns())

    def _histogram(self, tensor: str) -> Histogram:
        return self.histograms.setdefault(tensor, Histogram())

    def _adding(self, place: int, histogram: Histogram) -> "Receiver":
        def add(values: "torch.Tensor") -> None:
            # In this order: the histogram reads values one after the other, which brings them into
            # the cache.
            histogram.add(values)
            self.moments[place].add(values)

        return add


def _of(projection: Projection, receive: "Receiver") -> "Receiver":
    """A receiver of a module's outputs that takes those of one projection."""
    return lambda values: receive(values[:, projection.start : projection.stop])


def _rows(key: Mapping[str, int | str], **columns: np.ndarray) -> pl.DataFrame:
    """Columns of equal length, and a key that all rows share."""
    size = len(next(iter(columns.values())))
    # Not by an expression: planning it takes longer than making the column.
    same = {
        name: pl.Series([value], dtype=pl.Int32 if isinstance(value, int) else pl.String)
        for name, value in key.items()
    }
    shared = {name: value.new_from_index(0, size) for name, value in same.items()}
    return pl.DataFrame({**shared, **{name: _small(v) for name, v in columns.items()}})


def _small(values: np.ndarray) -> np.ndarray:
    """Indices in four bytes; otherwise they would make up most of a block."""
    index = values.dtype == np.int64 and values.size and values.max() < 1 << 31
    return values.astype(np.int32) if index and values.min() >= 0 else values


def _together(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts, how="vertical_relaxed") if parts else pl.DataFrame()
