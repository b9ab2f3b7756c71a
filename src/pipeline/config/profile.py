"""`profile`: how activations are measured."""

from pydantic import Field

from pipeline.config.base import BatchMemory, BatchSize, Section, Shards


class Profile(Section):
    """Profiling of every model on every corpus.

    Block sums are added in block order, so `shards` changes only the parallelism, not the result.
    """

    blocks: int = Field(
        4,
        ge=1,
        le=10_000,
        description="parts that the sequences are cut into and summed by; no more shards than "
        "blocks have work, and each block takes disk space",
    )
    batch_size: BatchSize = Field(64, description="most sequences in one forward pass")
    batch_megabytes: BatchMemory = Field(
        2000,
        description="memory that the sequences of one forward pass may take, when methods are "
        "fitted as well; as under `evaluation`",
    )
    shards: Shards = Field(2, description="jobs that the calibration set is divided among")
    cett: float = Field(
        0.2, gt=0, lt=1, description="relative FFN output error that sets the CETT threshold"
    )
    cett_tokens: int = Field(
        4096,
        ge=1,
        le=4096,
        description="most tokens that the threshold is fitted on; they are those of whole "
        "sequences, or of the start of one where all are longer",
    )
