"""Figures in words: how shares, differences and counts are written wherever people read them."""

#: What is written where there is no figure.
NOTHING = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return NOTHING if share is None else f"{_signed(100 * share, digits)}%"


def points(share: float | None) -> str:
    """A difference of shares in points, to a tenth."""
    return NOTHING if share is None else _signed(100 * share, 1)


def span(low: float | None, high: float | None) -> str:
    """An interval of shares in points."""
    return NOTHING if low is None or high is None else f"[{points(low)}, {points(high)}]"


def count(value: int | None) -> str:
    """A whole number with thousands set apart."""
    return NOTHING if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """A number to two digits behind the point."""
    return NOTHING if value is None else _signed(value, 2)


def p_value(value: float | None) -> str:
    """A probability to three digits behind the point; smaller ones as a bound."""
    if value is None:
        return NOTHING
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _signed(value: float, digits: int) -> str:
    """Fixed digits, a true minus sign, and no minus before zero."""
    text = f"{value:,.{digits}f}"
    if not text.strip("-0.,"):
        return text.lstrip("-")
    return text.replace("-", "−")
