"""Analysis results: accuracy lost against achieved sparsity."""

from pipeline.numerics.measures import MEASURES
from pipeline.tables.base import Column, Table

#: Method of an unpruned model's rows, and the task that stands for the mean of the reasoning tasks.
DENSE, REASONING = "dense", "reasoning"


#: The measure at which methods that remove neurons for good are compared; others are compared at an
#: achieved measure.
NEURONS_REMOVED = "neurons_removed"


_MEASURE = Column(
    "String",
    f"what the level is a share of and methods are compared at: {NEURONS_REMOVED}, or an achieved "
    "measure, natural zeros included; null where the level is in the method's own unit",
    nullable=True,
)
_NONFINITE = "counted once per seed, whose scores are not finite numbers"
_MEASURES = {
    "left_out": Column(
        "String",
        "reasoning tasks, separated by commas, that the mean leaves out because the method imposed "
        "nothing on their tokens; null for none",
        nullable=True,
    ),
    "n": Column("Int64", "items compared with the dense run"),
    "nonfinite": Column("Int64", f"items, {_NONFINITE}, which count as wrong"),
    "out_of_form": Column(
        "Float64",
        "share of the responses in which the task's filter finds no answer; for a mean, over the "
        "tasks that have such a filter; null where none has",
        nullable=True,
    ),
    "accuracy": Column("Float64", "share right"),
    "accuracy_dense": Column("Float64", "share right of the dense model on the same items"),
    "chance": Column(
        "Float64",
        "accuracy of the best constant answer (for choices: place) per task and step count, over "
        "all of a task's items, weighted as those evaluated",
    ),
    "loss": Column("Float64", "accuracy_dense - accuracy, in shares (0.1 is ten points)"),
    "loss_low": Column("Float64", "lower end of the paired interval"),
    "loss_high": Column("Float64", "upper end"),
    "corrected_loss": Column(
        "Float64",
        "loss / (accuracy_dense - chance); null where the dense model is at chance",
        nullable=True,
    ),
    "corrected_low": Column("Float64", "lower end", nullable=True),
    "corrected_high": Column("Float64", "upper end", nullable=True),
}

_SPARSITY = {
    f"{measure}_{basis}": Column("Float64", f"achieved, {basis}")
    for measure in MEASURES
    for basis in ("imposed", "total")
}

_REMOVED = {
    "activity_removed": Column(
        "Float64",
        "share of the dense model's active (token, neuron) pairs that the neurons removed for good "
        "made up, mean over seeds; null where none is removed",
        nullable=True,
    ),
    "contribution_removed": Column(
        "Float64",
        "their share of the sum of |h_i| * ||W_down[:, i]||_2",
        nullable=True,
    ),
}

CURVES = Table(
    "curves",
    3,
    "One row per condition (seeds pooled) and task; task `reasoning` is the mean of the reasoning "
    "tasks that the method touches, each with equal weight; its sparsity is that of all their "
    "tokens.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name, or dense"),
        "level": Column("String", "level as configured"),
        "measure": _MEASURE,
        "task": Column("String", "task name, or reasoning"),
        "reasoning": Column("Boolean", "false for controls"),
        "seeds": Column("Int64", "seeds pooled"),
        **_SPARSITY,
        **_REMOVED,
        **_MEASURES,
    },
)

PERPLEXITY = Table(
    "perplexity",
    4,
    "One row per condition (seeds pooled) and task that scores texts.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name, or dense"),
        "level": Column("String", "level as configured"),
        "measure": _MEASURE,
        "task": Column("String", "task name"),
        "reasoning": Column("Boolean", "false where the texts need no reasoning"),
        "seeds": Column("Int64", "seeds pooled"),
        **_SPARSITY,
        **_REMOVED,
        "n": Column("Int64", "texts compared with the dense run"),
        "tokens": Column("Int64", "tokens scored, per seed"),
        "nonfinite": Column("Int64", f"texts, {_NONFINITE}"),
        "log_perplexity": Column(
            "Float64", "nats a token; null where not all scores are finite", nullable=True
        ),
        "log_perplexity_dense": Column("Float64", "nats a token of the dense model"),
        "loss": Column("Float64", "log_perplexity - log_perplexity_dense", nullable=True),
        "loss_low": Column(
            "Float64",
            "lower end of the paired bootstrap interval over texts; null for a single text, and "
            "where the loss is null",
            nullable=True,
        ),
        "loss_high": Column("Float64", "upper end", nullable=True),
    },
)

REFUSED = Table(
    "refused",
    1,
    "Conditions that make no sense, with the reason.",
    {
        "model": Column("String", "model name"),
        "method": Column("String", "method name"),
        "level": Column("String", "level as configured"),
        "seed": Column("Int64", "seed"),
        "reason": Column("String", "why"),
    },
)
