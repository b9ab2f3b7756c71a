"""jobs.json: what a study's jobs make and how much work they are, written when a run starts."""

from pathlib import Path

from pipeline.tables.base import Document

JOBS = Document(
    "jobs",
    1,
    "All jobs of a study as it was last started; tells what is in use, done, and left.",
    {
        "study": "name of the study",
        "jobs": "folder of results -> rule, identity, those of its inputs by their names, device, "
        "and the work that the job is",
    },
)


def jobs_file(directory: Path, study: str) -> Path:
    """Where a study says which jobs it has; `directory` holds `results`."""
    return directory / "results" / study / "jobs.json"
