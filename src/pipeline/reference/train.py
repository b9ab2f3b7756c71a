"""Train one built-in backbone: seeded, resumable, on CPU or CUDA.

A run that is interrupted goes on from its last checkpoint and sees the same batches; on one kind of
CPU with one thread it ends with the same weights as an undisturbed run.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.models.views import view
from pipeline.reference.batches import TrainingBatch, batches
from pipeline.reference.recipes import Recipe
from pipeline.reference.vocabulary import BOS, EOS, PAD, VOCABULARY
from pipeline.store.artifacts import replacing
from pipeline.store.machine import processor

CHECKPOINT_EVERY = 200
LOG_EVERY = 20


def build(recipe: Recipe) -> Any:
    """A model with the recipe's freshly initialised weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(recipe.seed)
    config = AutoConfig.for_model(
        recipe.architecture,
        vocab_size=len(VOCABULARY),
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        **recipe.config,
    )
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def load_weights(model: Any, path: Path) -> Any:
    """`model` with the parameters that export.save_weights wrote, and the tied ones tied."""
    from safetensors.torch import load_file

    missing, unexpected = model.load_state_dict(load_file(path), strict=False)
    if unexpected or set(missing) - set(model.all_tied_weights_keys):
        raise ValueError(f"weights do not fit: missing {missing}, unexpected {unexpected}")
    return model


def train(
    recipe: Recipe,
    checkpoint: Path,
    device: str = "cpu",
    report: Callable[[dict], None] = lambda row: None,
) -> tuple[Any, list[dict]]:
    """Train `recipe` from its last checkpoint, or from its seed; returns (model, loss curve).

    The loss curve holds one row every LOG_EVERY steps: step, tokens seen, weighted cross entropy
    in nats a token, share of zero inner activations.
    """
    import torch

    model = build(recipe).to(device)
    optimizer = _optimizer(model, recipe)
    pull = _SparsityPull(model, recipe.target_sparsity, recipe.pull_from)
    start, curve = _resume(checkpoint, recipe, model, optimizer, pull, device)
    half = recipe.precision == "bfloat16"
    window: list[tuple[float, float | None]] = []
    for step, batch in enumerate(itertools.islice(_stream(recipe), start, recipe.steps), start):
        rate = schedule(step, recipe.steps, recipe.warmup_steps, recipe.cycles)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate
        with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=half):
            loss = weighted_loss(model, batch, device)
        total = loss + pull.penalty(step / recipe.steps)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        window.append((float(loss.detach()), pull.zero_share()))
        if (step + 1) % LOG_EVERY == 0 or step + 1 == recipe.steps:
            curve.append(_curve_row(step + 1, recipe, window))
            window = []
            report(curve[-1])
        if (step + 1) % CHECKPOINT_EVERY == 0:
            _save(checkpoint, recipe, model, optimizer, pull, step + 1, curve)
    pull.close()
    return model.eval(), curve


def hardware(device: str) -> str:
    """The name of the processor or GPU, and the number of threads used."""
    import torch

    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'s'[: threads != 1]}"


def _optimizer(model: Any, recipe: Recipe) -> Any:
    import torch

    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )


def _stream(recipe: Recipe) -> Iterator[TrainingBatch]:
    return batches(
        recipe.mixture,
        recipe.seed,
        recipe.rows,
        recipe.row_length,
        recipe.question_weight,
        round(recipe.steps * recipe.curriculum_share),
    )


def schedule(step: int, steps: int, warmup: int, cycles: int = 1) -> float:
    """Learning-rate factor: linear warm-up, then a cosine to 2 % of the peak, `cycles` times."""
    length = -(-steps // cycles)
    step -= length * min(step // length, cycles - 1)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, length - warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def weighted_loss(model: Any, batch: TrainingBatch, device: str) -> Any:
    """Cross entropy in nats a token, weighted; the examples of a row do not see each other."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    tokens = torch.from_numpy(batch.tokens).to(device)
    segments = torch.from_numpy(batch.segments).to(device)
    weights = torch.from_numpy(batch.weights).to(device)[:, 1:]
    length = tokens.shape[1]
    same = segments[:, :, None] == segments[:, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    logits = model(
        input_ids=tokens,
        attention_mask=(same & causal)[:, None],
        position_ids=torch.from_numpy(batch.positions).to(device),
        use_cache=False,
    ).logits
    kept = weights > 0
    losses = F.cross_entropy(logits[:, :-1][kept].float(), tokens[:, 1:][kept], reduction="none")
    return (losses * weights[kept]).sum() / weights.sum()


def fingerprint(recipe: Recipe) -> str:
    """Text that is equal for equal recipes only."""
    return json.dumps(dataclasses.asdict(recipe), sort_keys=True)


class _SparsityPull:
    """L1 on the FFN activation functions' outputs, steered towards a share of zeros.

    From the share `start` of training on, the coefficient moves by 1 % a step towards a goal that
    rises from 60 % of the target to all of it within a quarter of the training.
    """

    def __init__(self, model: Any, target: float | None, start: float) -> None:
        self.target = target
        self.start = start
        self.coefficient = 1e-3
        self._outputs: list = []
        self._hooks = []
        if target is not None:
            for ffn in view(model).ffns:
                self._hooks.append(
                    ffn.owner.act_fn.register_forward_hook(
                        lambda _m, _i, output: self._outputs.append(output)
                    )
                )

    def penalty(self, done: float) -> Any:
        if self.target is None:
            return 0.0
        zeros = sum(float((o == 0).float().mean()) for o in self._outputs) / len(self._outputs)
        self._zero_share = zeros
        if done < self.start:
            self._outputs.clear()
            return 0.0
        goal = self.target * min(1.0, 0.6 + 0.4 * (done - self.start) / 0.25)
        self.coefficient *= 1.01 if zeros < goal else 1 / 1.01
        self.coefficient = min(max(self.coefficient, 1e-5), 1.0)
        norm = sum(o.mean() for o in self._outputs) / len(self._outputs)
        self._outputs.clear()
        return self.coefficient * norm

    def zero_share(self) -> float | None:
        return self._zero_share if self.target is not None else None

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _curve_row(step: int, recipe: Recipe, window: list[tuple[float, float | None]]) -> dict:
    zeros = [zero for _, zero in window if zero is not None]
    return {
        "step": step,
        "tokens": step * recipe.rows * recipe.row_length,
        "loss": float(np.mean([loss for loss, _ in window])),
        "zero_share": float(np.mean(zeros)) if zeros else None,
    }


def _save(
    path: Path,
    recipe: Recipe,
    model: Any,
    optimizer: Any,
    pull: _SparsityPull,
    step: int,
    curve: list[dict],
) -> None:
    import torch

    state = {
        "recipe": fingerprint(recipe),
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "pull": pull.coefficient,
        "step": step,
        "curve": json.dumps(curve),
    }
    with replacing(path) as partial:
        torch.save(state, partial)


def _resume(
    path: Path, recipe: Recipe, model: Any, optimizer: Any, pull: _SparsityPull, device: str
) -> tuple[int, list[dict]]:
    """(next step, loss curve so far) with the state loaded; a checkpoint of another recipe does
    not count."""
    import torch

    if not path.exists():
        return 0, []
    state = torch.load(path, map_location=device, weights_only=True)
    if state["recipe"] != fingerprint(recipe):
        return 0, []
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    pull.coefficient = state["pull"]
    return state["step"], json.loads(state["curve"])
