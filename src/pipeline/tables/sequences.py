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
    1,
    "Documents that one job has tokenized and searched; `sequences` is cut from all of them.",
    {
        "index": Column("Int64", "place in the corpus, from 0"),
        "document": Column("String", "digest of the document's text"),
        "tokens": Column("List:Int32", "token ids, special tokens included"),
        "whole": Column("List:Int32", "evaluation items whose whole text stands in it"),
        "partial": Column("List:Int32", "further items of which it holds a run of words"),
        "commit": Column("String", "Hub commit of a Hub dataset", nullable=True),
    },
)

CORPUS = Document(
    "corpus",
    3,
    "What a calibration corpus holds and how it relates to the evaluation tasks.",
    {
        "commit": "Hub commit of a Hub dataset, or null",
        "documents": "number of documents",
        "sequences": "number of windows",
        "tokens": "number of tokens, special ones included",
        "unknown_share": "share of the tokens that stand for what the tokenizer does not know, "
        "special ones left out; above a tenth a corpus is refused",
        "overlap_ngram": "words in a row that count as overlap; a mark counts as a word, and so "
        "does a character of a script without spaces",
        "shared_documents": "evaluation items whose whole text stands in the corpus",
        "shared_ngrams": "evaluation items that share a run of that many words with the corpus",
        "allowed": "true when overlap was found and the configuration allows it",
    },
)
