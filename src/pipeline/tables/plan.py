"""Plans: what fitting a method produced, enough to apply it without calibration data."""

from pipeline.tables.base import Arrays, Document

PLAN = Document(
    "plan",
    1,
    "A fitted method at one level and seed; arrays lie beside it in plan.safetensors.",
    {
        "sparsifier": "registered name",
        "level": "level as configured",
        "seed": "seed as configured",
        "dropped": "FFN neurons removed",
        "neurons": "FFN neurons of the model",
        "cold": "size of the cold set",
        "refused": "why this condition makes no sense, or null",
    },
)

PLAN_ARRAYS = Arrays(
    "plan_arrays", 1, "The arrays of a plan.", {"dropped": "uint8 (layers, d_ff): 1 where removed"}
)
