"""What a section of the page is, and which files the registered ones make."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.registry import SECTIONS
from pipeline.report.results import Results
from pipeline.report.style import Spec

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Figure:
    """A figure of the page; `name` is that of its files, and of the figure in its template.

    Every figure is written as a Vega-Lite spec; one that is used outside the page is also written
    as SVG (`as_svg`).
    """

    name: str
    draw: Callable[[Results], Spec]
    as_svg: bool = False

    @property
    def spec_file(self) -> str:
        """Name of the spec's file."""
        return f"{self.name}.vl.json"

    @property
    def svg_file(self) -> str:
        """Name of the picture's file."""
        return f"{self.name}.svg"

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that are written."""
        return (self.spec_file, self.svg_file) if self.as_svg else (self.spec_file,)


@dataclass(frozen=True)
class Section:
    """A section of the page: what its template is filled in with, and its figures.

    The template lies beside the section's module as NAME.html.j2. It finds the `values` by their
    names and the figures as `figures[NAME]`, besides what page.page gives to all templates. A
    section whose values are None is left out; its figures are drawn all the same, since a study
    always writes the same files.
    """

    figures: tuple[Figure, ...] = ()
    values: Callable[[Results], Mapping[str, Any] | None] = lambda results: {}


def registered() -> dict[str, Section]:
    """All sections by name, in the order of the page."""
    return {name: SECTIONS.load(name) for name in SECTIONS}


def figures() -> tuple[Figure, ...]:
    """The figures of all sections, in the order of the page."""
    return tuple(figure for section in registered().values() for figure in section.figures)


def files() -> tuple[str, ...]:
    """Names of the files that hold the figures of a study."""
    return tuple(file for figure in figures() for file in figure.files)


def template(name: str) -> str:
    """Path of a section's template, from this folder on."""
    return f"sections/{name}.html.j2"


def templates() -> list[Path]:
    """The templates that the page is made of."""
    shared = [f"{name}.html.j2" for name in ("template", "style", "macros")]
    return [_FOLDER / name for name in (*shared, *map(template, SECTIONS))]
