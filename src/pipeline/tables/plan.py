"""Plans: what fitting a method produced, enough to apply it without calibration data."""

from pipeline.tables.base import Arrays, Column, Document, Table

PLAN = Document(
    "plan",
    3,
    "A fitted method at one level and seed; arrays lie beside it in plan.safetensors.",
    {
        "weights": "name and options of the weight pruning, or null",
        "quantization": "name and options of the quantization, or null",
        "sparsifier": "name and options of the sparsifier, or null",
        "compensation": "name and options of the compensation, or null",
        "level": "level as configured",
        "measure": "achieved measure that the level is a share of, or null for the method's own",
        "sparse_from": "where in a sequence the sparsifier starts",
        "seed": "seed as configured",
        "model": "name of the model",
        "source": "built-in name, Hub id and commit, or file of a package; empty for a local "
        "folder or file",
        "dtype": "type that the model was loaded in",
        "weights_digest": "digest of the model's weights, as in model.json",
        "share": "what the sparsifier was set to, in its own unit; null without one",
        "reach": "lowest and highest value of `measure` on calibration text, or null",
        "achieved": "measures on calibration text, imposed and total, or null where not measured",
        "dropped": "FFN neurons removed for good",
        "dropped_by_layer": "those of every layer, or null where a method removes none for good",
        "shared_with_coldest": "for a random draw, share of the removed neurons that would also go "
        "if as many of the coldest were taken of each layer; else null",
        "activity_removed": "share of the dense model's active (token, neuron) pairs that the "
        "removed neurons made up, on the study's activity corpus; null where none is removed",
        "contribution_removed": "their share of the sum of |h_i| * ||W_down[:, i]||_2 there",
        "neurons": "FFN neurons of the model",
        "cold": "size of the cold set, or null without a classification",
        "arrays": "names of the arrays",
        "refused": "why this condition makes no sense, or null",
    },
)

PLAN_ARRAYS = Arrays(
    "plan_arrays",
    2,
    "The arrays of a plan, by part; LINEAR is the name of a linear layer in its block.",
    {
        "weights/LAYER/LINEAR/mask": "uint8 (outputs, inputs / 8, rounded up): a bit per weight, 1 "
        "where it is kept",
        "weights/LAYER/LINEAR/values": "float32 (outputs, inputs): weights that were changed",
        "weights/dropped, sparsifier/dropped": "uint8 (layers, d_ff): 1 where removed",
        "sparsifier/...": "what the sparsifier needs; its module says what",
        "compensation/LAYER/LINEAR": "float32 (outputs,): added to the layer's bias",
    },
)

PREPARED = Arrays(
    "prepared",
    1,
    "What all levels of a method share, by part, named as in a plan, and further arrays that only "
    "the sparsifier reads.",
    PLAN_ARRAYS.arrays,
)

TRAINING = Table(
    "training",
    1,
    "Loss curves of what was trained for a plan; empty where nothing was.",
    {
        "label": Column("String", "what was trained"),
        "step": Column("Int64", "optimiser steps taken"),
        "items": Column("Int64", "items seen"),
        "train": Column("Float64", "mean loss since the row before", nullable=True),
        "held_out": Column("Float64", "loss on held-out text"),
        "best": Column("Boolean", "true for the step that was kept"),
    },
)
