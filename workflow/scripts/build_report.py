"""Draw the figures and write the report's page."""

from pathlib import Path

from pipeline.artifacts import Manifest, write_text
from pipeline.entry import job
from pipeline.report.figures import main_figure as draw_main
from pipeline.report.figures import task_figure as draw_tasks
from pipeline.report.page import named
from pipeline.report.page import page as compose
from pipeline.report.render import spec_text, svg
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.curves import CURVES, REFUSED
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.sequences import CORPUS


def main(
    *,
    curves: Path,
    refused: Path,
    finding: Path,
    corpora: list[Path],
    models: list[Path],
    classifications: list[Path],
    study: str,
    libraries: dict[str, str],
    page: Path,
    main_spec: Path,
    task_spec: Path,
    main_figure: Path,
    manifest: Manifest,
) -> None:
    """Write index.html, the two Vega-Lite specs and the main figure."""
    rows = CURVES.read(curves).to_dicts()
    answer = FINDING.read(finding)
    by_all, by_task = draw_main(rows, answer["models"]), draw_tasks(rows, answer["models"])
    write_text(main_spec, spec_text(by_all))
    write_text(task_spec, spec_text(by_task))
    write_text(main_figure, svg(by_all))
    text = compose(
        study=study,
        curves=rows,
        refused=REFUSED.read(refused).to_dicts(),
        finding=answer,
        corpora={path.parent.name: CORPUS.read(path) for path in corpora},
        models=[MODEL.read(path) for path in models],
        classifications=[named(path) | CLASSIFICATION.read(path) for path in classifications],
        libraries=libraries,
        manifest=manifest,
        main_figure=svg(by_all),
        task_figure=svg(by_task),
    )
    write_text(page, text)


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
