"""What conditions that remove neurons for good took, draw by draw, and what it cost."""

from pipeline.tables.base import Column, Table

REMOVALS = Table(
    "removals",
    1,
    "One row per condition that removes FFN neurons for good, seeds apart.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "level": Column("String", "level as configured"),
        "seed": Column("Int64", "seed"),
        "removed": Column("Int64", "neurons removed"),
        "neurons": Column("Int64", "neurons of the model"),
        "least_of_a_layer": Column("Float64", "smallest share of its neurons that a layer lost"),
        "most_of_a_layer": Column("Float64", "largest such share"),
        "activity_removed": Column(
            "Float64",
            "share of the dense model's active (token, neuron) pairs that the removed neurons made "
            "up, on the study's activity corpus",
        ),
        "contribution_removed": Column(
            "Float64", "their share of the sum of |h_i| * ||W_down[:, i]||_2 on that corpus"
        ),
        "shared_with_coldest": Column(
            "Float64",
            "for a random draw, share of the removed neurons that would also go if as many of the "
            "coldest were taken of each layer",
            nullable=True,
        ),
        "loss": Column(
            "Float64", "mean accuracy lost on the reasoning tasks, in shares", nullable=True
        ),
        "corrected_loss": Column(
            "Float64", "loss / (dense accuracy - chance); null at chance", nullable=True
        ),
    },
)

REMOVED_BY_LAYER = Table(
    "removed_by_layer",
    1,
    "One row per layer of a condition that removes FFN neurons for good, seeds apart.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "level": Column("String", "level as configured"),
        "seed": Column("Int64", "seed"),
        "layer": Column("Int64", "block of the model, from 0"),
        "removed": Column("Int64", "neurons removed"),
        "neurons": Column("Int64", "neurons of the layer"),
    },
)
