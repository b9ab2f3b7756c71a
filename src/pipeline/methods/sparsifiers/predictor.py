"""Online predictors: from the residual stream before an FFN, which of its neurons will be active.

After PowerInfer (arXiv 2312.12456, section 5.1), whose profiler and training code were never
released, and Deja Vu (arXiv 2310.17157, released code). Nothing here reads a model.
"""

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipeline.errors import UserError
from pipeline.methods.descent import Schedule, train
from pipeline.numerics.search import halved_whole
from pipeline.store import digest

if TYPE_CHECKING:
    import torch

Form = Literal["relu", "linear"]

_RANKS = 8
#: Tokens whose logits are in memory at once while the held-out loss is measured.
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class Predictor:
    """Two bias-free layers; `first` is (rank, d_model), `second` (d_ff, rank).

    `form` says what lies between them: `relu` in PowerInfer, nothing (`linear`) in Deja Vu's
    released code. ValueError for another form, or for layers that do not fit together.
    """

    first: "torch.Tensor"
    second: "torch.Tensor"
    form: Form

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise ValueError(f"form {self.form!r} is none of {', '.join(get_args(Form))}")
        if self.second.shape[1] != self.first.shape[0]:
            shapes = tuple(self.first.shape), tuple(self.second.shape)
            raise ValueError(f"layers of shapes {shapes[0]} and {shapes[1]} share no rank")

    def logits(self, x: "torch.Tensor") -> "torch.Tensor":
        """(..., d_ff) log-odds of being active, for x (..., d_model), the stream before the norm.

        Computed in the layers' type. Every token is scaled to unit root mean square first: the FFN
        reads a normalised stream, so the length of a token's x does not decide what it makes
        active, while logits without a bias would grow with it. A token of zeros has logits 0.
        """
        import torch

        # Converted before it is squared: float16 ends at 65504, and streams reach the thousands.
        x = x.to(self.first.dtype)
        tiny = torch.finfo(x.dtype).tiny
        x = x / x.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(tiny)
        hidden = x @ self.first.T
        if self.form == "relu":
            hidden = hidden.relu()
        return hidden @ self.second.T


def negative_weight(active: "torch.Tensor", balanced: bool) -> float:
    """What an inactive pair weighs in `cross_entropy` where an active one weighs 1.

    Balanced, the share of active pairs plus 0.005, as in Deja Vu's released code; otherwise 1.
    """
    return int(active.count_nonzero()) / active.numel() + 0.005 if balanced else 1.0


def cross_entropy(
    logits: "torch.Tensor", active: "torch.Tensor", inactive_weight: float = 1.0
) -> "torch.Tensor":
    """Binary cross-entropy in nats, a scalar: the mean over all pairs of loss times weight.

    `logits` and `active` (bool) are (tokens, d_ff). The sum of the weights does not divide it, as
    in Deja Vu, so a balanced loss is smaller where fewer neurons are active.
    """
    import torch.nn.functional as F  # noqa: N812

    target = active.to(logits.dtype)
    weight = target + (1 - target) * inactive_weight
    return F.binary_cross_entropy_with_logits(logits, target, weight)


def fit_predictor(
    inputs: "torch.Tensor",
    active: "torch.Tensor",
    held_out: "torch.Tensor",
    rank: int,
    form: Form,
    schedule: Schedule,
    seed: int,
    checkpoint: Path | None,
    label: str,
    balanced: bool | None = None,
) -> tuple[Predictor, list[dict]]:
    """A predictor trained on one layer's tokens, in float32, and the curve (`training.train`).

    `inputs` is (tokens, d_model) float32, the residual stream before the FFN's norm; `active`
    (tokens, d_ff) bool; `held_out` (tokens,) bool, the tokens that choose where training stops.
    They should be whole sequences, since neighbouring tokens are alike. `balanced` (see
    `negative_weight`, computed for each batch) is by default true for `linear` and false for
    `relu`. Weights start uniform within 1 / sqrt(fan-in), from the seed. A checkpoint of other
    data, rank, form or weighting is ignored.

    ValueError for tensors that do not fit together. UserError when no token is held out or none is
    left to train on, or when the training diverges.
    """
    tokens = inputs.shape[0]
    if active.shape[0] != tokens or tuple(held_out.shape) != (tokens,):
        shapes = (tuple(t.shape) for t in (inputs, active, held_out))
        raise ValueError("inputs {}, active {} and held_out {} differ in tokens".format(*shapes))
    if rank < 1:
        raise ValueError(f"rank {rank} is below 1")
    kept, measured = (mask.nonzero().flatten() for mask in (~held_out, held_out))
    if not kept.numel() or not measured.numel():
        raise UserError(
            f"{label}: {measured.numel()} of {tokens} tokens are held out; at least one must be, "
            "and at least one must not. Sample more sequences"
        )
    if balanced is None:
        balanced = form == "linear"
    parameters = _start(rank, inputs.shape[1], active.shape[1], seed, inputs.device)

    def loss(items: Sequence[int]) -> "torch.Tensor":
        chosen = kept[list(items)]
        truth = active[chosen]
        logits = Predictor(**parameters, form=form).logits(inputs[chosen])
        return cross_entropy(logits, truth, negative_weight(truth, balanced))

    def held_out_loss() -> float:
        weight = negative_weight(active[measured], balanced)
        predictor = Predictor(**parameters, form=form)
        parts = (
            chunk.numel()
            * float(cross_entropy(predictor.logits(inputs[chunk]), active[chunk], weight))
            for chunk in measured.split(_CHUNK)
        )
        return math.fsum(parts) / measured.numel()

    told = [form, rank, balanced, *(_digest(t) for t in (inputs, active, held_out))]
    best, curve = train(
        parameters,
        lambda items: [loss(items)],
        held_out_loss,
        kept.numel(),
        schedule,
        seed,
        checkpoint,
        label,
        fingerprint=digest.of_value(told),
    )
    return Predictor(**best, form=form), curve


def first_rank(density: float, d_model: int, d_ff: int) -> int:
    """Where the search for a predictor's rank starts: a multiple of 8, at least 8.

    min(d_model, d_ff) * H(density) / 2, with H the entropy in bits of one neuron that is active
    with the probability `density`, the layer's share of active pairs: half the full rank where it
    is 1/2, and less the sparser the layer is. PowerInfer's section 5.1 asks for this but gives no
    formula; this one is the project's own. ValueError for a density outside [0, 1].
    """
    if not 0 <= density <= 1:
        raise ValueError(f"a density of {density} is outside [0, 1]")
    entropy = -sum(p * math.log2(p) for p in (density, 1 - density) if p > 0)
    return max(_RANKS, round(min(d_model, d_ff) * entropy / 2 / _RANKS) * _RANKS)


def adapt(rank: int, good: Callable[[int], bool], most: int, least: int = _RANKS) -> int:
    """The smallest rank that is good enough, or `most` where none is.

    The candidates are `least`, `most` and the multiples of 8 between them. From `rank` on, the rank
    is doubled until one is good, or halved until one is not; then the bracket is bisected. `good`
    must stay true for all larger ranks once it is true; it is called at most once per rank, about
    log2(most / least) + log2(most / 8) times at worst. ValueError when `least` is above `most` or
    below 1.
    """
    if not 1 <= least <= most:
        raise ValueError(f"no ranks from {least} to {most}")
    ranks = sorted({least, most, *range(math.ceil(least / _RANKS) * _RANKS, most, _RANKS)})
    last = len(ranks) - 1
    # Places in `ranks`: up to `bad` none is good, from `enough` on all are.
    bad, enough = -1, len(ranks)
    place = min(bisect.bisect_left(ranks, rank), last)
    while enough - bad > 1 and (bad < 0 or enough > last):
        if good(ranks[place]):
            enough = place
        else:
            bad = place
        if bad < 0:
            place = max(bisect.bisect_right(ranks, ranks[enough] // 2) - 1, 0)
        else:
            place = min(bisect.bisect_left(ranks, ranks[bad] * 2), last)
    bad = halved_whole(lambda place: not good(ranks[place]), bad, enough)
    return ranks[min(bad + 1, last)]


def quality(logits: "torch.Tensor", active: "torch.Tensor", threshold: float) -> dict[str, Any]:
    """How well logits at or above the threshold predict the active pairs; both are (tokens, d_ff).

    recall (share of the active pairs that are predicted), precision (share of the predicted ones
    that are active), accuracy, predicted_share and actual_share of all pairs; ratios of exact
    counts, None where the divisor is 0. ValueError for tensors of different shapes.
    """
    if logits.shape != active.shape:
        raise ValueError(f"logits {tuple(logits.shape)}, active {tuple(active.shape)}")
    predicted = logits >= threshold
    pairs, chosen, actual, both = (
        active.numel(),
        *(int(mask.count_nonzero()) for mask in (predicted, active, predicted & active)),
    )
    return {
        "recall": _ratio(both, actual),
        "precision": _ratio(both, chosen),
        "accuracy": _ratio(pairs - chosen - actual + 2 * both, pairs),
        "predicted_share": _ratio(chosen, pairs),
        "actual_share": _ratio(actual, pairs),
    }


def threshold_for(logits: "torch.Tensor", share: float) -> float:
    """The threshold below which `share` of all logits fall, or as near to it as ties allow.

    Pairs below it count as inactive. Of two equally near numbers of pairs the smaller is taken.
    Ties are common with `relu`, whose logits are exactly 0 for a token that turns on none of the
    hidden units. The value is exact in the logits' type, float32 or float64; a comparison in
    another type may move pairs to the other side. ValueError for no logits, infinite ones or NaN
    among them, or a share outside [0, 1].
    """
    import torch

    if not 0 <= share <= 1:
        raise ValueError(f"a share of {share} is outside [0, 1]")
    if not logits.numel() or not bool(logits.isfinite().all()):
        raise ValueError("there are no logits, or some are not finite")
    wanted = share * logits.numel()
    place = min(int(wanted), logits.numel() - 1)
    value = logits.flatten().kthvalue(place + 1).values
    below = int((logits < value).count_nonzero())
    with_it = int((logits <= value).count_nonzero())
    if with_it - wanted < wanted - below:
        value = torch.nextafter(value, torch.full_like(value, math.inf))
    return float(value)


def _start(rank: int, d_model: int, d_ff: int, seed: int, device: Any) -> dict[str, "torch.Tensor"]:
    """The starting layers by their field names; drawn on the CPU, so that they are the same on
    every device."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shapes = {"first": (rank, d_model), "second": (d_ff, rank)}
    return {
        name: ((torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(shape[1])).to(device)
        for name, shape in shapes.items()
    }


def _digest(tensor: "torch.Tensor") -> str:
    array = tensor.detach().cpu().numpy()
    return digest.of_value([str(array.dtype), list(array.shape), digest.of_bytes(array.tobytes())])


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
