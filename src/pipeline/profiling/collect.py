"""What predictors are trained on in addition to the profile: a sample of the residual stream."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.models.batches import batches
from pipeline.models.memory import Room, read_bytes
from pipeline.models.size import of_loaded
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, FFNView, input_device, view
from pipeline.profiling.sample import sampled
from pipeline.profiling.watching import watching

if TYPE_CHECKING:
    import torch

Arrays = dict[str, np.ndarray]


def residual_sample(
    model: Any,
    sequences: Sequence[Sequence[int]],
    special: Sequence[int],
    above: Sequence[np.ndarray],
    tokens: int,
    room: Room,
) -> Arrays:
    """The residual stream before every FFN's norm, and which neurons it makes active.

    `sequence` and `position` identify the tokens. LAYER/residual is (tokens, d_model) float32: what
    PowerInfer's predictors read, and not the normalised input of the FFN. LAYER/active is (tokens,
    ceil(d_ff / 8)) uint8, a bit a neuron, the first neuron in the highest bit: h != 0 where the
    activation has exact zeros, and |h| above `above`, (d_ff,) a layer, elsewhere. Tokens are
    those of whole drawn sequences (`sampled`), at most `tokens` in all. UserError for an FFN that
    reads the stream itself.
    """
    import torch

    layout = view(model)
    size = of_loaded(model)
    drawn = sampled(sequences, tokens)
    rows = [sequences[index][:tokens] for index in drawn]
    parts: dict[str, list[np.ndarray]] = {}

    def keeping(name: str, change: Any) -> Any:
        return lambda values: parts.setdefault(name, []).append(change(values))

    def fits(length: int) -> int:
        return room.of(read_bytes(size, length))

    device = input_device(model)
    with torch.inference_mode(), watching() as watch:
        for layer, (ffn, least) in enumerate(zip(layout.ffns, above, strict=True)):
            if ffn.before is None:
                raise UserError(
                    f"{type(model).__name__}: no norm stands before this model's FFNs, so there is "
                    "no residual stream of the kind that predictors read"
                )
            watch.input(ffn.before, keeping(f"{layer}/residual", _plain))
            watch.hidden(ffn, keeping(f"{layer}/active", _packing(ffn, least)))
        for batch in batches(rows, fits, special, str(device)):
            places = batch.counted.nonzero().cpu().numpy()
            own = np.array([drawn[row] for row in batch.rows], dtype=np.int32)
            parts.setdefault("sequence", []).append(own[places[:, 0]])
            parts.setdefault("position", []).append(places[:, 1].astype(np.int32))
            watch.run(model, batch)
    return {name: np.concatenate(found) for name, found in parts.items()}


def _plain(values: "torch.Tensor") -> np.ndarray:
    array: np.ndarray = values.float().cpu().numpy()
    return array


def _packing(ffn: FFNView, above: np.ndarray) -> Any:
    def pack(h: "torch.Tensor") -> np.ndarray:
        magnitude = np.abs(_plain(h))
        exact = ffn.activation in EXACT_ZERO_ACTIVATIONS
        active = (magnitude > (0 if exact else above)) & np.isfinite(magnitude)
        return np.packbits(active, axis=1)

    return pack
