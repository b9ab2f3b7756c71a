"""What a few methods need beyond the profile, collected only where a configuration asks for it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.models.batches import batches
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, FFNView, input_device, view
from pipeline.profiling.inputs import inputs_of
from pipeline.profiling.sample import longest, sampled
from pipeline.profiling.watching import watching

if TYPE_CHECKING:
    import torch

Arrays = dict[str, np.ndarray]

#: Tokens whose outer products are added in float32.
_TOKENS = 1024


def second_moments(
    model: Any, sequences: Sequence[Sequence[int]], special: Sequence[int], batch_size: int
) -> Arrays:
    """Mean of x x^T over all counted tokens for every linear input x, (channels, channels) float32.

    Names are LAYER/LINEARS, as in channels.parquet. SparseGPT's Hessian (arXiv 2301.00774) is twice
    this and a multiple of the identity. Products of 1,024 tokens are float32 and sums of them
    float64; memory is 8 bytes an element, for all layers at once. Tokens with a non-finite value
    are left out.
    """
    import torch

    shape = view(model)
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def adding(name: str) -> Any:
        def add(values: "torch.Tensor") -> None:
            finite = values.float()
            finite = finite[finite.isfinite().all(1)]
            counts[name] = counts.get(name, 0) + len(finite)
            product = (finite.T @ finite).double()
            sums[name] = sums[name].add_(product) if name in sums else product

        return add

    device = input_device(model)
    with torch.inference_mode(), watching(lambda channels: _TOKENS) as watch:
        probe = torch.tensor([list(sequences[0][:2])], device=device)
        inputs = inputs_of(shape.blocks, shape.ffns, lambda: model.base_model(input_ids=probe))
        for layer, found in enumerate(inputs):
            for given in found:
                watch.input(given.module, adding(f"{layer}/{given.linears}"))
        for batch in batches(sequences, batch_size, special, str(device)):
            watch.run(model, batch)
    return {
        name: (total / max(1, counts[name])).float().cpu().numpy() for name, total in sums.items()
    }


def residual_sample(
    model: Any,
    sequences: Sequence[Sequence[int]],
    special: Sequence[int],
    above: Sequence[np.ndarray],
    tokens: int,
    batch_size: int,
) -> Arrays:
    """The residual stream before every FFN's norm, and which neurons it makes active.

    `sequence` and `position` tell the tokens. LAYER/residual is (tokens, d_model) float32: what
    PowerInfer's predictors read, and not the normalised input of the FFN. LAYER/active is (tokens,
    ceil(d_ff / 8)) uint8, a bit a neuron, the first neuron in the highest bit: h != 0 where the
    activation has exact zeros, and |h| above `above`, (d_ff,) a layer, elsewhere. Tokens are the
    starts of drawn sequences, at most `tokens` in all. UserError for an FFN that reads the stream
    itself.
    """
    import torch

    shape = view(model)
    most, drawn = longest(tokens), sampled(sequences, tokens)
    rows = [sequences[index][:most] for index in drawn]
    parts: dict[str, list[np.ndarray]] = {}

    def keeping(name: str, change: Any) -> Any:
        return lambda values: parts.setdefault(name, []).append(change(values))

    device = input_device(model)
    with torch.inference_mode(), watching() as watch:
        for layer, (ffn, least) in enumerate(zip(shape.ffns, above, strict=True)):
            if ffn.before is None:
                raise UserError(
                    f"{type(model).__name__}: no norm stands before this model's FFNs, so there is "
                    "no residual stream of the kind that predictors read; take residuals out of "
                    "profile.collect"
                )
            watch.input(ffn.before, keeping(f"{layer}/residual", _plain))
            watch.hidden(ffn, keeping(f"{layer}/active", _packing(ffn, least)))
        for batch in batches(rows, batch_size, special, str(device)):
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
