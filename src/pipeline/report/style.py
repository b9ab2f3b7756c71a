"""What all figures share: type face, colours, and a figure that says why it is empty."""

from collections.abc import Sized
from typing import Any

Spec = dict[str, Any]

# Text is measured with Liberation Sans, which comes with the renderer; Arial has the same widths.
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK, QUIET, GRID = "#222222", "#5c5c5c", "#e6e6e6"
#: Okabe and Ito's colours, told apart by most eyes; the yellow one is darker, to be seen on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9")
#: The same and black, for more than six.
PALETTE = (*COLOURS, "#000000")
SHAPES = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down")


def columns_for(facets: Sized) -> int:
    """How many facets stand side by side."""
    return {1: 1, 2: 2, 4: 2}.get(len(facets), 3)


def nothing(text: str) -> Spec:
    """A figure that says why it is empty, since axes without data have no size."""
    import altair as alt

    chart = alt.Chart(alt.InlineData(values=[{"text": text}]), width=560, height=60)
    return finished(chart.mark_text(fontSize=15, color=QUIET).encode(text="text:N"), text)


def header(size: int, **options: Any) -> Any:
    """Facets' titles in `size` pixels."""
    import altair as alt

    return alt.Header(labelFontSize=size, labelFontWeight="bold", labelColor=INK, **options)


def layer_axis(**options: Any) -> Any:
    """An axis of layers, which leaves out labels where dozens of layers would overlap."""
    import altair as alt

    return alt.Axis(labelAngle=0, labelOverlap="parity", labelSeparation=1, **options)


def finished(chart: Any, description: str) -> Spec:
    """The spec as a dictionary, with one type face, quiet axes and a legend above."""
    drawn = (
        chart.properties(description=description, background="white", padding=12)
        .configure(font=FONT, aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            labelFontSize=12,
            titleFontSize=13,
            titleFontWeight="normal",
            labelColor=QUIET,
            titleColor=INK,
            gridColor=GRID,
            domainColor=QUIET,
            tickColor=QUIET,
        )
        .configure_legend(
            orient="top", direction="horizontal", labelFontSize=13, labelLimit=260, columnPadding=18
        )
    )
    spec: Spec = drawn.to_dict()
    return spec
