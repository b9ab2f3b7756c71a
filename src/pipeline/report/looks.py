"""How methods are drawn: the two arms in colour and solid, controls in greys, others by name."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config.roles import ARM, COLDEST, CONTROL, HOTTEST, RANDOM
from pipeline.report.style import COLOURS, PALETTE


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    colour: str
    shape: str
    dash: tuple[int, ...] = (1, 0)
    width: float = 2.4


#: Role and order -> look of the first method that has both: arms in colour and solid.
_FIRST = {
    (ARM, COLDEST): Look(COLOURS[0], "circle"),
    (ARM, HOTTEST): Look(COLOURS[1], "square"),
    (CONTROL, RANDOM): Look("#333333", "triangle-up", (6, 3), 1.4),
}
#: Looks for controls that go by another order, one each.
_GREYS = (
    Look("#7d7d7d", "diamond", (2, 2), 1.4),
    Look("#8e6c8a", "triangle-down", (8, 2, 2, 2), 1.4),
    Look("#a6a6a6", "square", (4, 2), 1.4),
    Look("#6c7d8e", "cross", (6, 2, 2, 2), 1.4),
)
#: Looks for all other methods: the remaining colours, then the same again with other dashes.
_COLOURS = PALETTE[2:]
_SHAPES = ("cross", "triangle-right", "diamond", "triangle-left", "square", "circle", "triangle-up")
_DASHES = ((1, 0), (5, 2), (2, 2), (8, 2, 2, 2))
#: Names in each row of a legend that does not fit into one row.
_IN_ROW = 6


def looks(names: Collection[str], methods: Sequence[Mapping[str, Any]]) -> dict[str, Look]:
    """A look for every name of a method, arms first, then controls, then the others by name.

    `methods` are all of the study (Study.methods), so that a method looks the same in all figures
    where its role decides its look.
    """
    chosen = {name: look for name, look in _of_roles(methods).items() if name in names}
    for index, name in enumerate(sorted(set(names) - set(chosen))):
        chosen[name] = Look(
            _COLOURS[index % len(_COLOURS)],
            _SHAPES[index % len(_SHAPES)],
            _DASHES[index // len(_COLOURS) % len(_DASHES)],
            width=1.8,
        )
    return chosen


def _of_roles(methods: Sequence[Mapping[str, Any]]) -> dict[str, Look]:
    """The looks that roles decide: those of the first method of each role and order, and those of
    controls without such an order, from the last name on, until the greys are used up."""
    chosen: dict[str, Look] = {}
    for key, look in _FIRST.items():
        alike = [row["name"] for row in methods if (row["role"], row["order"]) == key]
        chosen |= dict.fromkeys(alike[:1], look)
    controls = [row["name"] for row in methods if (row["role"], row["order"]) == (CONTROL, None)]
    return chosen | dict(zip(sorted(controls, reverse=True), _GREYS, strict=False))


def by_method(styles: Mapping[str, Look]) -> dict[str, Any]:
    """Colour and shape of points by method, with a legend."""
    import altair as alt

    methods = list(styles)
    # In one row, dozens of names would make the figure many times as wide as its panels.
    rows = {"columns": _IN_ROW} if len(methods) > _IN_ROW + 1 else {}
    legend = alt.Legend(title=None, symbolSize=90, symbolLimit=0, **rows)
    colours = alt.Scale(domain=methods, range=[look.colour for look in styles.values()])
    shapes = alt.Scale(domain=methods, range=[look.shape for look in styles.values()])
    return {
        "color": alt.Color("method:N", scale=colours, legend=legend),
        "shape": alt.Shape("method:N", scale=shapes, legend=legend),
    }
