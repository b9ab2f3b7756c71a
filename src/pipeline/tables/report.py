"""files.json: what the report's other files were when they were written."""

from pipeline.tables.base import Document

REPORT = Document(
    "report",
    1,
    "What the report was made from, in its manifest, and the files that were written with it.",
    {"files": "name of a file beside this one -> digest of its bytes (BLAKE2b, 128 bits)"},
)
