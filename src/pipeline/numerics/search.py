"""Search for where a function that grows crosses a bound.

Calls are expensive here (forward passes or trainings), so each search promises how many it makes
and where; scipy's root finders choose both themselves, and differently from one version to the
next.
"""

from collections.abc import Callable
from dataclasses import dataclass


def halved_whole(within: Callable[[int], bool], low: int, high: int, width: int = 1) -> int:
    """The largest whole number known to be `within` after halving the interval until `low` and
    `high` are at most `width` apart.

    `low` is taken to be within and `high` not to be; neither is tried.
    """
    while high - low > width:
        middle = (low + high) // 2
        if within(middle):
            low = middle
        else:
            high = middle
    return low


@dataclass
class Bracket:
    """Two points (x, y) of a growing function, `left` with y at most 0 and `right` above it.

    `narrow` puts a new point in the place of the one on its side. An end that stays where it is
    twice in a row then counts half (the Illinois rule), so that both ends of false position move.
    """

    left: tuple[float, float]
    right: tuple[float, float]
    _moved: int = 0

    @property
    def width(self) -> float:
        """Distance of the ends."""
        return self.right[0] - self.left[0]

    @property
    def middle(self) -> float:
        """x half-way between the ends."""
        return (self.left[0] + self.right[0]) / 2

    @property
    def rises(self) -> bool:
        """True where the ends differ in y, so that there is a false position."""
        return self.right[1] > self.left[1]

    @property
    def false_position(self) -> float:
        """x at which the straight line through the ends crosses zero."""
        return self.left[0] - self.left[1] * self.width / (self.right[1] - self.left[1])

    def narrow(self, x: float, y: float) -> None:
        """Take a point between the ends in."""
        if y <= 0:
            self.left = x, y
            if self._moved < 0:
                self.right = self.right[0], self.right[1] / 2
            self._moved = -1
        else:
            self.right = x, y
            if self._moved > 0:
                self.left = self.left[0], self.left[1] / 2
            self._moved = 1
