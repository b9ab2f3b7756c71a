"""Fixtures: a small study, planned, and one that is finished as far as its files tell."""

import json
import struct
from pathlib import Path

import pytest

from pipeline.config.study import parse_study
from pipeline.planning.stages import REPORT_FILES, STAGES
from pipeline.planning.study import PROJECT, Study, read_config
from pipeline.store import digest
from pipeline.store.artifacts import MANIFEST_KEY, Manifest, write_json
from pipeline.tables.report import REPORT


def shipped(config):
    """A study that ships, planned; `config` is its file, from the project's root."""
    path = PROJECT / config
    return Study(parse_study(read_config(path), path.parent))


#: Rules that read whatever a study has made, so no list of their inputs is kept.
AGGREGATION = {"analyse", "build_report"}


def following(study, rule):
    """A rule, and those whose jobs in the study read what it makes, directly or not."""
    found, before = {rule}, set()
    while found != before:
        before = set(found)
        for folder in study.folders.values():
            places = {file.rpartition("/")[0] for files in folder.reads.values() for file in files}
            if any(study.folders[place].rule in before for place in places):
                found.add(folder.rule)
    return found | AGGREGATION


@pytest.fixture
def small(study_values):
    """A function: sections changed at their keys -> the small study."""

    def planned(**sections):
        for name, changes in sections.items():
            if isinstance(changes, dict):
                study_values[name] = study_values[name] | changes
            else:
                study_values[name] = changes
        return Study(parse_study(study_values))

    return planned


@pytest.fixture
def stand():
    """A function: study, folder -> writes all of the study's files there, as its jobs would name
    them in their manifests; what they hold is nothing."""

    def write(study, directory):
        for place, folder in study.folders.items():
            source = study.source_behind(folder)
            manifest = Manifest(rule=folder.rule, source=source, identity=folder.identity)
            (directory / place).mkdir(parents=True, exist_ok=True)
            if folder.rule == "build_report":
                write_report(directory / place, manifest)
                continue
            for name in STAGES[folder.rule].files:
                write_artifact(directory / place / name, manifest)

    return write


def write_artifact(path: Path, manifest: Manifest) -> None:
    """A file with a manifest and no content."""
    if path.suffix == ".json":
        write_json(path, "nothing", 1, {}, manifest)
    elif path.suffix == ".safetensors":
        metadata = {MANIFEST_KEY: manifest.text("nothing", 1)}
        header = json.dumps({"__metadata__": metadata}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(
            pa.table({}).replace_schema_metadata({MANIFEST_KEY: manifest.text("nothing", 1)}), path
        )


def write_report(folder: Path, manifest: Manifest) -> None:
    """Files of text, and the one that tells them."""
    names = [name for name in STAGES["build_report"].files if name != REPORT_FILES]
    for name in names:
        (folder / name).write_text(f"{name}\n")
    told = {name: digest.of_file(folder / name) for name in names}
    REPORT.write(folder / REPORT_FILES, {"files": told}, manifest)
