"""`analysis`: intervals, and the level at which the finding compares the arms."""

from pydantic import Field

from pipeline.config.base import Name, Section


class Analysis(Section):
    """How intervals are computed, each pruned model paired with the dense one: in closed form for
    accuracy, by a paired bootstrap over texts, and over seeds, for nats."""

    bootstrap: int = Field(2000, ge=100, le=100_000, description="resamples of the texts")
    confidence: float = Field(0.95, gt=0.5, lt=1)
    activity_corpus: Name | None = Field(
        None,
        description="entry of `calibration` on which the activity of removed neurons is measured, "
        "the same for all conditions; null for the first",
    )
    reference_level: float = Field(
        0.25,
        gt=0,
        lt=1,
        description="level at which the arms are compared; at least one method must have it",
    )
