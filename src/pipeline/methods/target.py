"""Ask a sparsifier for an achieved measure, within what it can reach."""

from collections.abc import Callable

from pipeline.methods.plan import Refused

#: How near the target is near enough, in shares; a fifth of what is promised on held-out text.
TOLERANCE = 0.002
#: Most measurements after the two ends.
_MEASUREMENTS = 24


def reach(achieved: Callable[[float], float]) -> tuple[float, float]:
    """(lowest, highest) measure between a share of 0 and one of 1."""
    return achieved(0.0), achieved(1.0)


def settle(achieved: Callable[[float], float], target: float, ends: tuple[float, float]) -> float:
    """The share from 0 to 1 at which `achieved`, which grows with it, is nearest to the target.

    False position with an Illinois step, until TOLERANCE is met or the bracket is 1e-5 wide.
    Refused, with the interval, outside `ends`.
    """
    low, high = ends
    if not low - TOLERANCE <= target <= high + TOLERANCE:
        raise Refused(
            f"{target:g} is outside what this method can reach on this model, {low:.3f} to "
            f"{high:.3f}"
        )
    best = min((abs(low - target), 0.0), (abs(high - target), 1.0))
    left, right = (0.0, low - target), (1.0, high - target)
    moved = 0
    for _ in range(_MEASUREMENTS):
        if best[0] <= TOLERANCE or right[0] - left[0] < 1e-5:
            break
        width = right[1] - left[1]
        share = left[0] - left[1] * (right[0] - left[0]) / width if width > 0 else left[0]
        margin = 0.02 * (right[0] - left[0])
        share = min(max(share, left[0] + margin), right[0] - margin)
        off = achieved(share) - target
        best = min(best, (abs(off), share))
        if off <= 0:
            left = share, off
            right = (right[0], right[1] / 2) if moved < 0 else right
            moved = -1
        else:
            right = share, off
            left = (left[0], left[1] / 2) if moved > 0 else left
            moved = 1
    return best[1]
