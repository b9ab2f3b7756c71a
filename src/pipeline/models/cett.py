"""The CETT threshold of a layer (arXiv 2411.02335).

CETT(x) = ||sum of the outputs of the neurons below eps|| / ||FFN(x)||, biases left out. A neuron is
inactive at a token when its contribution |h_i| * ||W_down[:, i]|| is at most eps.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.numerics.search import Bracket

if TYPE_CHECKING:
    import torch

#: How many tokens are used to guess the threshold, where there are more, and to draw a curve: each
#: value of CETT costs a down projection of all tokens used.
_FEW = 256
#: Relative width of the bracket at which the search ends for more tokens than that, and of the one
#: in which a few tokens guess where it begins: another few would guess otherwise by some percent.
_RELATIVE, _ROUGH = 1e-3, 0.2
#: Relative distance of an exact threshold from the contribution that costs too much.
_BELOW = 5e-7
#: Tokens that are masked at once: enough for a fast product, few enough that no copy of h is made.
_AT_ONCE = 512
#: Values of CETT of all tokens after which the bracket is halved, should it still be wide.
_PATIENCE = 8

Point = tuple[float, float]


class Tail:
    """CETT of some tokens as a function of the threshold.

    `inner` is h, (tokens, d_ff), and `down` W_down, (d_model, d_ff), both float32. Tokens whose FFN
    output is zero or not finite do not count; `kept`, (tokens,) bool, marks the others, and
    `nonfinite` is how many are not finite.
    """

    def __init__(self, inner: "torch.Tensor", down: "torch.Tensor") -> None:
        whole = (inner @ down.T).norm(dim=1)
        finite = whole.isfinite()
        self.nonfinite = int((~finite).sum())
        self.kept = (whole > 0) & finite
        # Most often all count, and then nothing is copied.
        every = bool(self.kept.all())
        self.inner, self.whole = (inner, whole) if every else (inner[self.kept], whole[self.kept])
        self.down = down
        self.contribution = self.inner.abs().mul_(down.norm(dim=0))
        self._each: dict[float, torch.Tensor] = {}

    def few(self) -> "Tail":
        """The tail of `_FEW` tokens at even distances, or of all tokens where there are no more."""
        step = -(-len(self.inner) // _FEW)
        return self if step <= 1 else Tail(self.inner[::step], self.down)

    def each(self, eps: float) -> "torch.Tensor":
        """CETT of every token that counts, float64; kept for the next time."""
        import torch

        if eps not in self._each:
            tails = torch.cat([part.norm(dim=1) for part in self._outputs(eps)])
            self._each[eps] = tails.double() / self.whole.double()
        return self._each[eps]

    def _outputs(self, eps: float) -> "Iterator[torch.Tensor]":
        """Outputs of the neurons up to a threshold, some tokens at a time."""
        import torch

        kept = torch.empty_like(self.inner[:_AT_ONCE])
        for h, c in zip(self.inner.split(_AT_ONCE), self.contribution.split(_AT_ONCE), strict=True):
            # Without a mask of its own: a product with 0 and 1 is faster, and exact.
            below = torch.le(c, eps, out=kept[: len(h)])
            yield torch.mul(h, below, out=below) @ self.down.T

    def mean(self, eps: float) -> float:
        """Mean CETT over the tokens that count."""
        return float(self.each(eps).mean())


def fit_threshold(tail: Tail, target: float, known: Sequence[Point] = ()) -> Point:
    """(eps, mean CETT at eps): the largest eps whose mean CETT stays within target.

    CETT grows with eps almost everywhere (output vectors can cancel), and its mean over all tokens
    is what is compared, not the mean of thresholds. eps is exact for up to 256 tokens, within a
    relative 1e-6 below the contribution that costs too much, and within 1e-3 for more. `known` are
    points of the curve of a few tokens, between which the search begins. (0, 0) where no token
    counts.
    """
    if not len(tail.inner):
        return 0.0, 0.0
    few = tail.few()
    exact = few is tail
    low, high = _narrowed(few, target, known, 0.0 if exact else _ROUGH)
    if not exact:
        return _refined(tail, target, low, high)
    # Not the last number below it: what is active is told from |h|, whose product with a norm is
    # rounded otherwise.
    eps = max((low[0] + high[0]) / 2, high[0] * (1 - _BELOW))
    return min(eps, float(np.nextafter(np.float32(high[0]), np.float32(0)))), low[1]


def _narrowed(
    tail: Tail, target: float, known: Sequence[Point], relative: float
) -> tuple[Point, Point]:
    """Two contributions, or zero and one, and CETT there, within the target and above it: next to
    each other, or at a relative distance below `relative`.

    At zero CETT is 0, and at the largest contribution, where the tail is the whole output, it is 1.
    """
    within = [point for point in known if point[1] <= target]
    above = [point for point in known if point[1] > target]
    low = max(within, default=(0.0, 0.0))
    high = min((p for p in above if p > low), default=(float(tail.contribution.max()), 1.0))
    if high[0] - low[0] <= relative * high[0]:
        return low, high
    flat = tail.contribution.flatten()
    steps = np.unique(flat[(flat > low[0]) & (flat <= high[0])].cpu().numpy())
    bracket = Bracket((low[0], low[1] - target), (high[0], high[1] - target))
    tried = 0
    while len(steps) > 1 and high[0] - low[0] > relative * high[0]:
        place = int(np.searchsorted(steps, bracket.false_position, side="right")) - 1
        # False position moves slowly where a few contributions make most of the difference.
        place = len(steps) // 2 - 1 if tried % 3 == 2 else min(max(place, 0), len(steps) - 2)
        tried += 1
        eps = float(steps[place])
        cett = tail.mean(eps)
        bracket.narrow(eps, cett - target)
        if cett <= target:
            low, steps = (eps, cett), steps[place + 1 :]
        else:
            high, steps = (eps, cett), steps[: place + 1]
    return low, high


def _refined(tail: Tail, target: float, low: Point, high: Point) -> Point:
    """The lower end of a narrow bracket of all tokens' threshold, from points on both sides of a
    few tokens' threshold.

    Near it CETT is close to a power of eps. Where the power through the last two points reaches the
    target is the next point, moved a little away from the last one: so the two lie on both sides.
    """
    most = float(tail.contribution.max())
    bracket = Bracket((0.0, -target), (most, 1 - target))
    slope = _slope(low, high) or 1.0
    eps = high[0] * (target / high[1]) ** (1 / slope)
    best, last = (0.0, 0.0), None
    for tried in range(200):
        if not bracket.left[0] < eps < bracket.right[0]:
            eps = bracket.middle
        cett = tail.mean(eps)
        bracket.narrow(eps, cett - target)
        if cett <= target:
            best = eps, cett
        # A threshold below a billionth of the largest contribution is as good as none.
        if bracket.width <= max(_RELATIVE * bracket.right[0], 1e-9 * most):
            break
        slope = (_slope(last, (eps, cett)) if last else None) or slope
        last = eps, cett
        beyond = 1 + 0.4 * math.copysign(_RELATIVE, target - cett)
        slow = tried >= _PATIENCE or not cett
        eps = bracket.middle if slow else eps * (target / cett) ** (1 / slope) * beyond
    return best


def _slope(one: Point, other: Point) -> float | None:
    """The power of eps with which CETT grows from one point to the other, where there is one."""
    if min(*one, *other) <= 0 or one[0] == other[0]:
        return None
    slope = math.log(other[1] / one[1]) / math.log(other[0] / one[0])
    return slope if 0.1 < slope < 10 else None


def curve(tail: Tail, shares: np.ndarray) -> dict[str, np.ndarray]:
    """`sparsity`, `threshold` and `cett` at thresholds below which the given shares of the (token,
    neuron) pairs with a contribution fall, and at one below which none does; from at most 256
    tokens."""
    few = tail.few()
    if not len(few.inner):
        return {name: np.zeros(0) for name in ("sparsity", "threshold", "cett")}
    ordered = np.sort(few.contribution.flatten().cpu().numpy())
    zeros = int(np.searchsorted(ordered, 0.0, side="right"))
    places = zeros + np.clip(np.ceil(shares * (ordered.size - zeros)).astype(int) - 1, 0, None)
    thresholds = np.unique(np.r_[np.float32(0), ordered[places]])
    # Contributions of zero are nothing that an output could lack.
    cett = [0.0, *(few.mean(float(eps)) for eps in thresholds[1:])]
    return {
        "sparsity": np.searchsorted(ordered, thresholds, side="right") / ordered.size,
        "threshold": thresholds.astype(np.float64),
        "cett": np.array(cett),
    }
