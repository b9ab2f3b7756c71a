"""Specs rendered to SVG and written as text, with no network used and no clock time or path in the
result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def html(template: str, filters: Mapping[str, Any], **values: Any) -> str:
    """One of this folder's templates, filled in; text is escaped, except for markup."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template).render(**values)


def spec_text(spec: Mapping[str, Any]) -> str:
    """A spec as JSON text with sorted keys. ValueError for numbers that are not finite."""
    return json.dumps(spec, indent=1, sort_keys=True, allow_nan=False) + "\n"


def svg(spec: Mapping[str, Any]) -> str:
    """The figure as SVG text; equal specs give equal text.

    Rendered by the Vega-Lite release that the spec names. A spec that asks for data or pictures
    from elsewhere is refused (ValueError).
    """
    import vl_convert

    # ".../vega-lite/v6.1.0.json" -> "v6.1"
    release = str(spec["$schema"]).rsplit("/", 1)[1].removesuffix(".json")
    version = ".".join(release.split(".")[:2])
    text: str = vl_convert.vegalite_to_svg(
        spec_text(spec), vl_version=version, allowed_base_urls=[]
    )
    return text if text.endswith("\n") else text + "\n"
