"""The report's page: one HTML file with figures, tables and definitions, complete in itself.

All text from models, data and configuration is escaped; only the figures, which are rendered here,
go in as they are.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.config.level import SET, SHARE, WHOLE, Level
from pipeline.report.numbers import NOTHING, count, number, p_value, percent, points, span
from pipeline.report.render import html
from pipeline.report.results import Results
from pipeline.report.section import Section, registered, template


def page(results: Results, drawn: Mapping[str, str]) -> str:
    """The page as HTML text; equal input gives equal text. `drawn` holds the figures of all
    sections by name, as SVG text."""
    from markupsafe import Markup

    texts = [part(name, section, results, drawn) for name, section in registered().items()]
    sections = [Markup(text) for text in texts if text]
    return html("template.html.j2", FILTERS, study=results.study, sections=sections)


def part(name: str, section: Section, results: Results, drawn: Mapping[str, str]) -> str:
    """The HTML of one section, empty where it is left out. Its template knows the `study`, the
    `finding`, the `model_names` and the section's own `figures`, besides its values."""
    from markupsafe import Markup

    values = section.values(results)
    if values is None:
        return ""
    shared: dict[str, Any] = {
        "study": results.study,
        "finding": results.finding,
        "model_names": results.model_names,
        "figures": {figure.name: Markup(drawn[figure.name]) for figure in section.figures},
    }
    return html(template(name), FILTERS, **shared | dict(values))


def level(text: str) -> str:
    """A configured level: a share as a percentage, the name of a set, or the number of a part;
    any other text as it stands."""
    try:
        configured = Level.parse(text)
    except ValueError:
        return text
    if configured.kind == SHARE:
        return f"{100 * configured.share:g}%"
    if configured.kind == SET:
        return f"{text} set"
    return NOTHING if configured == WHOLE else text


#: How templates write figures.
FILTERS = {
    "percent": percent,
    "points": points,
    "count": count,
    "level": level,
    "span": span,
    "number": number,
    "p_value": p_value,
}
