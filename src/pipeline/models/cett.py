"""The CETT threshold of a layer (arXiv 2411.02335).

CETT(x) = ||sum of the outputs of the neurons below eps|| / ||FFN(x)||, biases left out. A neuron is
inactive at a token when its contribution |h_i| * ||W_down[:, i]|| is at most eps.
"""

from typing import TYPE_CHECKING

import numpy as np

from pipeline.numerics.search import Bracket, halved

if TYPE_CHECKING:
    import torch

#: Halvings of the bracket; the threshold is then within 1e-9 of the largest contribution.
_HALVINGS = 30
#: How many tokens are used to bracket the threshold, where there are more, and to draw a curve:
#: each value of CETT costs a down projection of all tokens used.
_FEW = 256
#: Relative width of the bracket at which the search ends for more tokens than that.
_RELATIVE = 1e-3


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
        self.inner, self.whole = inner[self.kept], whole[self.kept]
        self.down = down
        self.contribution = self.inner.abs() * down.norm(dim=0)

    def few(self) -> "Tail":
        """The tail of `_FEW` tokens at even distances, or of all tokens where there are no more."""
        step = max(1, -(-len(self.inner) // _FEW))
        return Tail(self.inner[::step], self.down)

    def each(self, eps: float) -> "torch.Tensor":
        """CETT of every token that counts, float64."""
        tail = self.inner.masked_fill(self.contribution > eps, 0.0) @ self.down.T
        return tail.norm(dim=1).double() / self.whole.double()

    def mean(self, eps: float) -> float:
        """Mean CETT over the tokens that count."""
        return float(self.each(eps).mean())


def fit_threshold(tail: Tail, target: float) -> tuple[float, float]:
    """(eps, mean CETT at eps): the largest eps whose mean CETT stays within target.

    CETT grows with eps almost everywhere (output vectors can cancel), and its mean over all tokens
    is what is compared, not the mean of thresholds. eps is as good as exact for up to 256 tokens,
    and within a relative 1e-3 for more. (0, 0) where no token counts.
    """
    if not len(tail.inner):
        return 0.0, 0.0
    # At the largest contribution the tail is the whole output, and CETT is 1.
    high = float(tail.contribution.max())
    few = tail.few()
    eps = halved(lambda eps: few.mean(eps) <= target, 0.0, high, _HALVINGS)
    if len(few.inner) == len(tail.inner):
        return eps, tail.mean(eps)
    return _refined(tail, *_bracket(tail, eps, high, target), target)


Point = tuple[float, float]


def _bracket(tail: Tail, eps: float, most: float, target: float) -> tuple[Point, Point]:
    """(eps, CETT) below the target and above it, near a first guess."""
    step = 1.05
    low = high = (eps, tail.mean(eps))
    while low[1] > target:
        high, step = low, step**2
        low = (low[0] / step, tail.mean(low[0] / step)) if step < 1e6 else (0.0, 0.0)
    while high[1] <= target:
        low, step = high, step**2
        eps = min(most, max(high[0] * step, most * 1e-6))
        high = eps, tail.mean(eps)
    return low, high


def _refined(tail: Tail, low: Point, high: Point, target: float) -> Point:
    """The lower end of the bracket once it is narrow, by false position."""
    bracket = Bracket((low[0], low[1] - target), (high[0], high[1] - target))
    while bracket.width > _RELATIVE * bracket.right[0]:
        eps = bracket.false_position
        if not bracket.left[0] < eps < bracket.right[0]:
            eps = bracket.middle
        cett = tail.mean(eps)
        bracket.narrow(eps, cett - target)
        if cett <= target:
            low = eps, cett
    return low


def curve(tail: Tail, shares: np.ndarray) -> dict[str, np.ndarray]:
    """`sparsity`, `threshold` and `cett` at thresholds below which the given shares of the (token,
    neuron) pairs with a contribution fall, and at one below which none does; from at most 256
    tokens."""
    few = tail.few()
    if not len(few.inner):
        return {name: np.zeros(0) for name in ("sparsity", "threshold", "cett")}
    ordered = few.contribution[few.contribution > 0].sort().values
    places = np.clip(np.ceil(shares * len(ordered)).astype(int) - 1, 0, None)
    thresholds = sorted({0.0, *(float(ordered[int(place)]) for place in places)})
    below = [float((few.contribution <= eps).double().mean()) for eps in thresholds]
    return {
        "sparsity": np.array(below),
        "threshold": np.array(thresholds),
        "cett": np.array([few.mean(eps) for eps in thresholds]),
    }
