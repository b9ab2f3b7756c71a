"""Draw the figures and write the report's page."""

from pathlib import Path

from pipeline.artifacts import Manifest, write_text
from pipeline.digest import of_file
from pipeline.entry import job
from pipeline.report.figures import (
    compared_figure,
    main_figure,
    part_figure,
    steps_figure,
    task_figure,
)
from pipeline.report.neurons import Profiles
from pipeline.report.page import named
from pipeline.report.page import page as compose
from pipeline.report.render import spec_text, svg
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.correlations import CORRELATIONS, STEPS, UNITS
from pipeline.tables.curves import CURVES, PERPLEXITY, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.removals import REMOVALS, REMOVED_BY_LAYER
from pipeline.tables.report import REPORT
from pipeline.tables.sequences import CORPUS

#: In the order of the analysis' outputs.
TABLES = (
    CURVES, PERPLEXITY, CORRELATIONS, UNITS, STEPS, REMOVALS, REMOVED_BY_LAYER, REFUSED,
)  # fmt: skip


def main(
    *,
    tables: list[Path],
    finding: Path,
    corpora: list[Path],
    models: list[Path],
    classifications: list[Path],
    layers: list[Path],
    spreads: list[Path],
    ranked: list[Path],
    overlaps: list[Path],
    profiled: list[list[str]],
    methods: list[dict],
    steps_of: list[str],
    study: str,
    libraries: dict[str, str],
    page: Path,
    figure: Path,
    specs: list[Path],
    files: Path,
    manifest: Manifest,
) -> None:
    """Write index.html, the Vega-Lite specs, the main figure, and files.json, which tells them."""
    rows = {kind.name: kind.read(p).to_dicts() for kind, p in zip(TABLES, tables, strict=True)}
    rows.pop(REMOVED_BY_LAYER.name)
    answer = FINDING.read(finding)
    records = [MODEL.read(path) for path in models]
    profiles = Profiles.read(profiled, layers, spreads, ranked, overlaps)
    drawn = {
        "main_figure": main_figure(rows["curves"], rows["removals"], answer["models"]),
        "task_figure": task_figure(rows["curves"], answer["models"]),
        "part_figure": part_figure(rows.pop("units"), answer["models"]),
        "steps_figure": steps_figure(
            rows.pop("steps"), steps_of, answer["reference_level"], answer["models"]
        ),
        "compared_figure": compared_figure(rows["curves"], answer["models"]),
        **profiles.figures(),
    }
    for spec, path in zip(drawn.values(), specs, strict=True):
        write_text(path, spec_text(spec))
    write_text(figure, svg(drawn["main_figure"]))
    text = compose(
        study=study,
        **rows,
        finding=answer,
        corpora={path.parent.name: CORPUS.read(path) for path in corpora},
        models=records,
        spreads=profiles.spreads(),
        classifications=[named(path) | CLASSIFICATION.read(path) for path in classifications],
        methods=methods,
        libraries=libraries,
        manifest=manifest,
        **{name: svg(spec) for name, spec in drawn.items()},
    )
    write_text(page, text)
    written = {path.name: of_file(path) for path in (page, figure, *specs)}
    REPORT.write(files, {"files": written}, manifest)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
