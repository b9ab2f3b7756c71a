"""Write the finding in sentences, draw the figures, and write the report's page."""

from pathlib import Path

from pipeline.config.orders import Order, Orders
from pipeline.registry import ANALYSES
from pipeline.report.finding.sentences import sentences as in_words
from pipeline.report.page import page as compose
from pipeline.report.profiles import Profiles
from pipeline.report.render import spec_text, svg
from pipeline.report.results import Results
from pipeline.report.section import figures
from pipeline.running.entry import job
from pipeline.store.artifacts import Manifest, write_text
from pipeline.store.digest import of_file
from pipeline.tables.classes import CLASSIFICATION
from pipeline.tables.finding import FINDING
from pipeline.tables.model import MODEL
from pipeline.tables.named import by_file_name, read_each, rows_of
from pipeline.tables.overlap import OVERLAP
from pipeline.tables.plan import TRAINING
from pipeline.tables.report import REPORT
from pipeline.tables.sequences import CORPUS


def main(
    *,
    tables: list[Path],
    corpora: list[Path],
    text_overlaps: list[Path],
    models: list[Path],
    classifications: list[Path],
    layers: list[Path],
    cett_curves: list[Path],
    training: list[Path],
    spreads: list[Path],
    ranked: list[Path],
    overlaps: list[Path],
    folders: dict,
    orders: list[dict],
    methods: list[dict],
    by_steps: list[str],
    study: str,
    libraries: dict[str, str],
    page: Path,
    sentences: Path,
    pictures: list[Path],
    specs: list[Path],
    files: Path,
    manifest: Manifest,
) -> None:
    """Write finding.txt, every section's figures, index.html, and files.json, which lists them.

    `folders` says what stands in each folder of inputs.
    """
    rows, facts = _analysis(tables)
    said = in_words(facts, rows, Orders([Order(**order) for order in orders]))
    compared = {about["name"]: body for about, body in read_each(OVERLAP, text_overlaps, folders)}
    results = Results(
        study=study,
        tables=rows,
        finding=facts,
        sentences=said,
        corpora={
            about["name"]: body | compared[about["name"]]
            for about, body in read_each(CORPUS, corpora, folders)
        },
        models=[body for _, body in read_each(MODEL, models, folders)],
        classifications=[
            about | body for about, body in read_each(CLASSIFICATION, classifications, folders)
        ],
        profiles=Profiles.read(layers, cett_curves, spreads, ranked, overlaps, folders),
        training=rows_of(read_each(TRAINING, training, folders)),
        methods=methods,
        by_steps=by_steps,
        libraries=libraries,
        manifest=manifest,
    )
    write_text(sentences, "".join(f"{sentence}\n" for sentence in said))
    drawn = _draw(results, by_file_name([*specs, *pictures]))
    write_text(page, compose(results, drawn))
    written = (page, sentences, *specs, *pictures)
    REPORT.write(files, {"files": {path.name: of_file(path) for path in written}}, manifest)


def _analysis(paths: list[Path]) -> tuple[dict[str, list[dict]], dict]:
    """(rows of every table of the analysis by its name, the body of FINDING)."""
    places = by_file_name(paths)
    kinds = {file: ANALYSES.load(file).table for file in ANALYSES}
    read = {kind.name: kind.read(places[file]) for file, kind in kinds.items()}
    facts = read.pop(FINDING.name)
    return {name: frame.to_dicts() for name, frame in read.items()}, facts


def _draw(results: Results, places: dict[str, Path]) -> dict[str, str]:
    """Write every figure to the files that bear its name; the figures as SVG text by name."""
    drawn = {}
    for figure in figures():
        spec = figure.draw(results)
        drawn[figure.name] = svg(spec)
        write_text(places[figure.spec_file], spec_text(spec))
        if figure.as_svg:
            write_text(places[figure.svg_file], drawn[figure.name])
    return drawn


if __name__ == "__main__":
    job(main, snakemake)  # noqa: F821
