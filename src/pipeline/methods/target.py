"""Ask a sparsifier for an achieved measure, within what it can reach."""

from collections.abc import Callable

from pipeline.methods.plan import Refused
from pipeline.numerics.search import Bracket

#: How near to the target is near enough, in shares; a fifth of what is promised on held-out text.
TOLERANCE = 0.002
#: How far from the target a level may be, on the text that it was fitted on, and still keep its
#: name.
BOUND = 0.01
#: Most measurements after those of the two ends; halving reaches the narrowest bracket of shares
#: with fewer.
_MEASUREMENTS, _NARROW = 24, 2.0**-20


def reach(achieved: Callable[[float], float], most: float = 1.0) -> tuple[float, float]:
    """(lowest, highest) measure between a share of 0 and the highest one."""
    return achieved(0.0), achieved(most)


def settle(
    achieved: Callable[[float], float],
    target: float,
    ends: tuple[float, float],
    most: float = 1.0,
    measure: str = "",
) -> float:
    """The share from 0 to `most` at which `achieved`, which grows with it, is nearest to the
    target.

    False position with an Illinois step, until TOLERANCE is met or the bracket is as narrow as it
    can get; in the latter case the target lies within a jump, and the nearer of its two ends is
    taken. Where this is too slow the bracket is halved.

    Refused, with the interval, outside `ends`.
    """
    low, high = ends
    if not low - TOLERANCE <= target <= high + TOLERANCE:
        raise Refused(
            f"{measure} {target:g} is outside what this method can reach on this model, {low:.3f} "
            f"to {high:.3f} (what is zero by itself counts); give it levels in between"
        )
    # Take an end where the target is at it or beyond it, since a share just inside does not reach
    # it.
    ends_off = min((abs(low - target), 0.0), (abs(high - target), most))
    if not low < target < high:
        return ends_off[1]
    best = (float("inf"), 0.0)
    bracket = Bracket((0.0, low - target), (most, high - target))
    for rest in range(_MEASUREMENTS, 0, -1):
        if best[0] <= TOLERANCE or bracket.width <= _NARROW:
            break
        share = bracket.middle
        if bracket.rises and bracket.width <= _NARROW * 2 ** (rest - 1):
            margin = 0.02 * bracket.width
            share = max(bracket.false_position, bracket.left[0] + margin)
            share = min(share, bracket.right[0] - margin)
        off = achieved(share) - target
        best = min(best, (abs(off), share))
        bracket.narrow(share, off)
    return min(best, ends_off)[1] if best[0] > TOLERANCE else best[1]
