"""What the name of each method stands for."""

from typing import Any

from pipeline.registry import PARTS
from pipeline.report.compared import MEASURE_NAMES
from pipeline.report.numbers import NOTHING
from pipeline.report.results import Results, Row
from pipeline.report.section import Section
from pipeline.tables.curves import NEURONS_REMOVED

#: The measures at which methods are compared, in words.
_COMPARED = {NEURONS_REMOVED: "FFN neurons removed", **MEASURE_NAMES}
#: The scopes in which neurons that are removed for good are ranked, in words.
_SCOPES = {"layer": "each layer", "model": "the whole model"}


def values(results: Results) -> dict[str, Any]:
    """The methods of the configuration."""
    return {"methods": [in_words(row) for row in results.methods]}


def in_words(method: Row) -> dict[str, Any]:
    """A method of the configuration as the page names it: its parts with the options that it has,
    a dash for a part that it lacks."""

    def words(part: Row | None) -> str:
        if part is None:
            return NOTHING
        options = [f"{key} {value}" for key, value in part["options"].items() if value is not None]
        return f"{part['name']} ({', '.join(options)})" if options else str(part["name"])

    measure = _COMPARED.get(method["measure"], "its own")
    scope = _SCOPES.get(method["scope"], NOTHING)
    parts = [words(method["parts"].get(kind)) for kind in PARTS]
    return {**method, "parts": parts, "measure": measure, "scope": scope}


SECTION = Section(values=values)
