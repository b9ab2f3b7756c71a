"""How activations are spread over a model's neurons, and which hot sets corpora share."""

from pipeline.tables.base import Column, Table

_SCOPE = {
    "corpus": Column("String", "entry of the configuration's calibration"),
    "layer": Column("Int32", "block of the model, from 0; null for the whole model", nullable=True),
}

POWER_LAW = Table(
    "power_law",
    1,
    "How unevenly activations are spread over neurons; for each corpus one row for the whole model "
    "and one per layer.",
    {
        **_SCOPE,
        "neurons": Column("Int64", "FFN neurons"),
        "hot": Column("Int64", "fewest neurons that carry 80 % of all activations"),
        "hot_share": Column("Float64", "their share of the neurons"),
        "top_carries": Column("Float64", "share of all activations that the top fifth carries"),
        "gini": Column("Float64", "Gini coefficient of the activation counts"),
        "never_active": Column("Int64", "neurons active at no token"),
    },
)

RANKED = Table(
    "ranked",
    1,
    "Activations by rank: the Lorenz curve from the hottest neuron down, and the frequencies.",
    {
        **_SCOPE,
        "share_of_neurons": Column(
            "Float64", "share of the neurons, hottest first, in steps of 1 %"
        ),
        "share_of_activations": Column("Float64", "share of all activations that they carry"),
        "frequency": Column("Float64", "activation frequency of the neuron at that rank"),
    },
)

HOT_OVERLAPS = Table(
    "hot_overlaps",
    1,
    "Hot sets of one model on two corpora.",
    {
        **_SCOPE,
        "other": Column("String", "the other corpus"),
        "basis": Column("String", "coverage80, the set that carries 80 %, or top20, the top fifth"),
        "size": Column("Int64", "neurons hot on the corpus"),
        "other_size": Column("Int64", "neurons hot on the other"),
        "both": Column("Int64", "neurons hot on both"),
        "share": Column("Float64", "`both`, divided by the size of the smaller set", nullable=True),
        "jaccard": Column("Float64", "`both`, divided by those hot on either", nullable=True),
        "by_chance": Column("Float64", "`share` expected for independent sets of these sizes"),
    },
)
