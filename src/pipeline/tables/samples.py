"""Evaluation results: every item, and the sparsity measured while evaluating."""

from pipeline.tables.base import Column, Table

SAMPLES = Table(
    "samples",
    2,
    "One row an item and condition.",
    {
        "task": Column("String", "task name"),
        "item": Column("Int64", "index in the task's file"),
        "item_hash": Column("String", "digest of the item"),
        "prompt_hash": Column("String", "digest of the prompt as the model saw it"),
        "reasoning": Column("Boolean", "false for controls"),
        "steps": Column("Int32", "reasoning steps the item needs; 0 for a control"),
        "target": Column("String", "the right answer; of a text, the text"),
        "response": Column("String", "all that the model wrote, or the choice it finds likeliest"),
        "answer": Column("String", "the part that is scored"),
        "correct": Column("Boolean", "answer equals target; null for a text", nullable=True),
        "nats": Column(
            "Float64",
            "negative log-likelihood of the text or of the right choice; null for written answers",
            nullable=True,
        ),
        "scored_tokens": Column("Int32", "tokens that `nats` is the sum over", nullable=True),
    },
)

SPARSITY = Table(
    "sparsity",
    1,
    "Achieved sparsity on the evaluated tokens; prompt and response, no padding.",
    {
        "task": Column("String", "task name"),
        "tokens": Column("Int64", "tokens evaluated"),
        "basis": Column("String", "imposed (by the method) or total (natural zeros included)"),
        "neuron_sparsity": Column("Float64", "share of FFN neurons skipped"),
        "ffn_weight_sparsity": Column("Float64", "share of FFN weights that need not be read"),
        "model_weight_sparsity": Column("Float64", "the same over all linear layers of the blocks"),
        "sparse_from": Column("String", "where the method starts in a sequence"),
        "nonfinite": Column("Int64", "non-finite inner activations met"),
        "refused": Column("String", "why nothing was evaluated", nullable=True),
    },
)
