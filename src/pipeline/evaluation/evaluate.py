"""Evaluate a model, pruned or not, on tasks, and measure its sparsity on the way."""

from typing import Any

import numpy as np

from pipeline.config.evaluation import Evaluation
from pipeline.evaluation.harness import Harness
from pipeline.evaluation.meter import Meter
from pipeline.models.views import view
from pipeline.tasks import find

Rows = list[dict[str, Any]]


def evaluate(
    model: Any, tokenizer: Any, config: Evaluation, dropped: np.ndarray | None = None
) -> tuple[Rows, Rows]:
    """(rows of tables.samples.SAMPLES, rows of SPARSITY).

    `model` already lacks the neurons that `dropped`, (layers, d_ff) bool, marks; None for the dense
    model. Sparsity is measured task by task over prompts and responses.
    """
    import torch

    shape = view(model)
    if dropped is None:
        dropped = np.zeros((len(shape.ffns), shape.ffns[0].d_ff), dtype=bool)
    harness = Harness(model, tokenizer, config.batch_size)
    meter = Meter(shape, dropped, _end_tokens(model, tokenizer), harness.ended)
    samples: Rows = []
    sparsity: Rows = []
    for task in map(find, config.tasks):
        meter.reset()
        with torch.inference_mode(), meter.watching(model):
            samples.extend(harness.samples(task, config.limit))
        for basis, measures in meter.figures().items():
            sparsity.append(
                _sparsity_row(task.name, basis, config)
                | measures
                | {"tokens": meter.tokens, "nonfinite": meter.nonfinite}
            )
    return samples, sparsity


def _end_tokens(model: Any, tokenizer: Any) -> set[int]:
    """Tokens after which a sequence is over: the tokenizer's and those generation stops at."""
    named = getattr(model.generation_config, "eos_token_id", None)
    several = named if isinstance(named, list | tuple) else [named]
    tokens = {tokenizer.eos_token_id, tokenizer.pad_token_id, *several}
    return {token for token in tokens if token is not None}


def refused(reason: str, config: Evaluation) -> tuple[Rows, Rows]:
    """Results of a condition that was refused: no samples, and the reason in every task's row."""
    rows = []
    for task in map(find, config.tasks):
        for basis in ("imposed", "total"):
            rows.append(_sparsity_row(task.name, basis, config) | {"refused": reason})
    return [], rows


def _sparsity_row(task: str, basis: str, config: Evaluation) -> dict[str, Any]:
    return {
        "task": task,
        "tokens": 0,
        "basis": basis,
        "neuron_sparsity": 0.0,
        "ffn_weight_sparsity": 0.0,
        "model_weight_sparsity": 0.0,
        "sparse_from": config.sparse_from,
        "nonfinite": 0,
        "refused": None,
    }
