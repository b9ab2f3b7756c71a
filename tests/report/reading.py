"""The page, and each of its sections, made of invented results and read again."""

import re
from html.parser import HTMLParser
from typing import Any

from pipeline.registry import ANALYSES
from pipeline.report import page
from pipeline.report.results import Results
from pipeline.report.section import figures, registered

VOID = {"meta", "link", "br", "hr", "img", "input"}

#: Tables of the analysis.
TABLES = [file.removesuffix(".parquet") for file in ANALYSES if file.endswith(".parquet")]
#: The figures of all sections; each is its own name.
FIGURES = {one.name: f'<svg class="{one.name}"><text>{one.name}</text></svg>' for one in figures()}


class Reader(HTMLParser):
    """Elements with their attributes, text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def results_of(parts: dict[str, Any]) -> Results:
    """The results of a study; tables that `parts` does not name are empty."""
    tables = {name: parts.get(name, []) for name in TABLES}
    others = {name: part for name, part in parts.items() if name not in tables}
    return Results(tables=tables, **others)


def page_of(parts: dict[str, Any]) -> str:
    """The whole page."""
    return page.page(results_of(parts), FIGURES)


def section_of(name: str, parts: dict[str, Any]) -> str:
    """One section of the page; empty where it is left out."""
    return page.part(name, registered()[name], results_of(parts), FIGURES)


def words(text: str) -> str:
    """The text of some HTML with white space run together."""
    return " ".join(Reader(text).text.split())


def table_rows(text: str, *starts: str) -> list[list[str]]:
    """Cells of the rows of tables whose first cells are `starts`."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in rows]
    return [row for row in cells if row[: len(starts)] == list(starts)]
