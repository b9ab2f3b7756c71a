"""How calibration text relates to the evaluation tasks."""

from pipeline.tables.base import Document

OVERLAP = Document(
    "overlap",
    1,
    "How far a calibration corpus, in a model's tokens, overlaps with the evaluation tasks.",
    {
        "overlap_ngram": "words in a row that count as overlap; a mark counts as a word, and so "
        "does a character of a script without spaces",
        "shared_documents": "evaluation items whose whole text stands in the corpus",
        "shared_ngrams": "evaluation items that share a run of that many words with the corpus",
        "allowed": "true when overlap was found and the configuration allows it",
    },
)

CLEARED = Document(
    "cleared",
    1,
    "The tasks that may be evaluated on a model, since no corpus of the study that was run gives "
    "their items away, or the configuration allows it. Every evaluation waits for it.",
    {"tasks": "names of the tasks"},
)
