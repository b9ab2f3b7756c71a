"""Classifications: hot and cold neurons under one policy."""

from pipeline.tables.base import Column, Document, Table

CLASSES = Table(
    "classes",
    1,
    "One row per FFN neuron.",
    {
        "layer": Column("Int32", "block of the model, from 0"),
        "neuron": Column("Int32", "index in the FFN, from 0"),
        "score": Column(
            "Float64",
            "what the policy ranks by, ties in a fixed random order: for coverage, budget and "
            "perplexity the share of tokens at which the neuron is active; for cett the share at "
            "which it is above the CETT threshold; for contribution the mean of |h| * "
            "||W_down[:, i]||_2; for magnitude the mean of |h|; for stability the size of the hot "
            "set divided by the neuron's rank, on the corpus where that is smaller",
        ),
        "rank": Column("Int64", "1 is the hottest; within the scope of the policy"),
        "hot": Column("Boolean", "true for the hot set"),
    },
)

CLASSIFICATION = Document(
    "classification",
    2,
    "One model's classification in figures.",
    {
        "policy": "registered name",
        "share": "the policy's parameter, or null",
        "scope": "model or layer",
        "other": "the other corpus that the policy looks at, or null",
        "rise": "the policy's parameter, or null",
        "neurons": "FFN neurons of the model",
        "hot": "neurons in the hot set",
        "carried": "share of all activations that the hot set carries",
        "active_rule": "nonzero or cett: what counts as active for this model",
    },
)
