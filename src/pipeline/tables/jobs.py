"""jobs.json: what a study's jobs make and how much work they are, written when a run starts."""

from pipeline.tables.base import Document

JOBS = Document(
    "jobs",
    1,
    "All jobs of a study as it was last started; tells what is in use, done, and left.",
    {
        "study": "name of the study",
        "jobs": "folder of results -> rule, identity, device, and the work that the job is",
    },
)
