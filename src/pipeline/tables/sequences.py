"""Calibration sequences: token windows with the document each comes from."""

from pipeline.tables.base import Column, Document, Table

SEQUENCES = Table(
    "sequences",
    1,
    "Token windows of a calibration corpus, in order.",
    {
        "sequence": Column("Int64", "index from 0"),
        "document": Column("String", "digest of the document's text"),
        "tokens": Column("List:Int32", "token ids, special tokens included"),
    },
)

DOCUMENTS = Table(
    "documents",
    2,
    "Documents that one job has tokenized; `sequences` is cut from all of them.",
    {
        "index": Column("Int64", "place in the corpus, from 0"),
        "document": Column("String", "digest of the document's text"),
        "characters": Column("Int64", "characters from its beginning on that were tokenized"),
        "tokens": Column("List:Int32", "token ids, special tokens included"),
        "commit": Column(
            "String", "Hub commit of a Hub dataset, or SHA-256 of a package's file", nullable=True
        ),
    },
)

TEXTS = Table(
    "texts",
    1,
    "The text that a calibration corpus was cut from, to be compared with the evaluation tasks.",
    {
        "index": Column("Int64", "place in the corpus, from 0"),
        "document": Column("String", "digest of the document's text"),
        "text": Column("String", "the document, or of a long one as much as was tokenized"),
    },
)

CORPUS = Document(
    "corpus",
    4,
    "What a calibration corpus holds.",
    {
        "commit": "Hub commit of a Hub dataset, SHA-256 of a package's file, or null",
        "documents": "number of documents",
        "sequences": "number of windows",
        "tokens": "number of tokens, special ones included",
        "unknown_share": "share of the tokens that stand for what the tokenizer does not know, "
        "special ones left out; above a tenth a corpus is refused",
    },
)
