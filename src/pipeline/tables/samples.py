"""Evaluation results: every item, and the sparsity measured while evaluating."""

from pipeline.numerics.measures import FFN_WEIGHTS, MODEL_WEIGHTS, NEURONS
from pipeline.tables.base import Column, Table

SAMPLES = Table(
    "samples",
    3,
    "One row per item and condition.",
    {
        "task": Column("String", "task name"),
        "item": Column("Int64", "index in the task's file"),
        "item_hash": Column("String", "digest of the item"),
        "prompt_hash": Column("String", "digest of the prompt as the model saw it"),
        "reasoning": Column("Boolean", "false for controls"),
        "steps": Column("Int32", "reasoning steps the item needs; 0 for a control"),
        "cluster": Column(
            "String", "equal for items that belong together, which intervals count as one"
        ),
        "target": Column("String", "the right answer; for a text, the text itself"),
        "response": Column("String", "all that the model wrote, or the choice it finds likeliest"),
        "answer": Column("String", "the part that is scored"),
        "finite": Column(
            "Boolean", "the model's scores of the item (for an answer, at every step) are finite"
        ),
        "correct": Column(
            "Boolean",
            "answer equals target, and the scores are finite; null for a text",
            nullable=True,
        ),
        "nats": Column(
            "Float64",
            "negative log-likelihood of the text or of the right choice; null for written answers, "
            "and where scores are not finite",
            nullable=True,
        ),
        "scored_tokens": Column(
            "Int32", "tokens that `nats` sums over; null for written answers", nullable=True
        ),
        "in_form": Column(
            "Boolean",
            "the task's filter finds an answer in the response; null where no filter looks for "
            "one, and for texts and choices",
            nullable=True,
        ),
        "answer_tokens": Column(
            "Int32",
            "tokens written, including one that ends the answer; null for texts and choices",
            nullable=True,
        ),
    },
)

_SPARED = "(token, weight) pairs that need not be read"
_HALVED = "batches that a GPU's memory did not hold and that were divided in two,"

COUNTS = Table(
    "counts",
    3,
    "Counts over one block of a task's items, layer by layer; `sparsity` is computed from them.",
    {
        "task": Column("String", "task name"),
        "start": Column("Int64", "first item of the block"),
        "stop": Column("Int64", "the item after its last one"),
        "layer": Column("Int32", "block of the model, from 0"),
        "halved": Column("Int64", f"{_HALVED} of the block"),
        "tokens": Column("Int64", "tokens evaluated; prompt and response, no padding"),
        "zeros": Column("Int64", "(token, neuron) pairs with h = 0, removed neurons included"),
        "skipped": Column("Int64", "(token, neuron) pairs that the method skips"),
        "nonfinite": Column("Int64", "(token, neuron) pairs with a non-finite h"),
        "ffn_spared_imposed": Column("Int64", f"{_SPARED}, of the FFN, by the method"),
        "ffn_spared_total": Column("Int64", f"{_SPARED}, of the FFN, natural zeros included"),
        "linear_spared_imposed": Column("Int64", f"{_SPARED}, of all linear layers, by the method"),
        "linear_spared_total": Column(
            "Int64", f"{_SPARED}, of all linear layers, natural zeros included"
        ),
        "neurons": Column("Int64", "FFN neurons of the layer"),
        "ffn_weights": Column("Int64", "weights of the layer's FFN"),
        "linear_weights": Column("Int64", "weights of all linear layers of the block"),
    },
)

SPARSITY = Table(
    "sparsity",
    2,
    "Achieved sparsity on the evaluated tokens; prompt and response, no padding.",
    {
        "task": Column("String", "task name"),
        "tokens": Column("Int64", "tokens evaluated"),
        "basis": Column("String", "imposed (by the method) or total (natural zeros included)"),
        NEURONS: Column("Float64", "share of FFN neurons skipped"),
        FFN_WEIGHTS: Column("Float64", "share of FFN weights that need not be read"),
        MODEL_WEIGHTS: Column("Float64", "the same over all linear layers of the blocks"),
        "sparse_from": Column(
            "String", "where the method starts in a sequence; in texts always at the start"
        ),
        "nonfinite": Column("Int64", "(token, neuron) pairs with a non-finite h"),
        "halved": Column(
            "Int64", f"{_HALVED} of all blocks; where there are some, last digits may differ"
        ),
        "refused": Column("String", "why nothing was evaluated", nullable=True),
    },
)
