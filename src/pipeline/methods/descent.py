"""The training loop for what is learned beside a frozen model: compensation vectors and predictors.

A run that is interrupted goes on from its last checkpoint and draws the same batches; on one kind
of CPU with one thread it ends with the same bytes as an undisturbed run.
"""

import dataclasses
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import UserError
from pipeline.store import digest
from pipeline.store.artifacts import replacing

if TYPE_CHECKING:
    import torch

#: Length of the digest that a checkpoint starts with.
_SEAL = 32
_LEAST = {"steps": 0, "batch": 1, "every": 1, "patience": 1}


@dataclasses.dataclass(frozen=True)
class Schedule:
    """AdamW's settings, with a constant learning rate, and when the held-out loss is measured.

    At most `steps` steps of `batch` items; a measurement every `every` steps, and an end after
    `patience` of them in a row without a new lowest loss. `clip` bounds the L2 norm of all
    gradients together. UserError for a count that is too small.
    """

    learning_rate: float
    steps: int
    batch: int
    every: int
    patience: int
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; give {least} or more")


@dataclasses.dataclass
class _Progress:
    """What was measured so far, and the parameters at the lowest held-out loss."""

    curve: list[dict] = dataclasses.field(default_factory=list)
    best: dict[str, "torch.Tensor"] = dataclasses.field(default_factory=dict)

    def kept(self) -> int:
        """The row of the lowest held-out loss, the earliest of equal ones."""
        return min(range(len(self.curve)), key=lambda row: self.curve[row]["held_out"])

    def stale(self) -> int:
        """Number of measurements since the lowest one."""
        return len(self.curve) - 1 - self.kept()


def train(
    parameters: dict[str, "torch.Tensor"],
    losses: "Callable[[Sequence[int]], Iterable[torch.Tensor]]",
    held_out: Callable[[], float],
    items: int,
    schedule: Schedule,
    seed: int,
    checkpoint: Path | None,
    label: str,
    fingerprint: str = "",
) -> tuple[dict[str, "torch.Tensor"], list[dict]]:
    """The parameters with the lowest held-out loss, detached, and the curve of the training.

    `parameters` are leaf tensors of any shape, changed in place; they hold the best values at the
    end. `losses` gives a scalar for a batch of indices in [0, items), in parts that are added up:
    each part's gradients are taken before the next is asked for. `held_out` gives a number. Both
    read `parameters`, draw no random numbers, and may use other tensors, whose gradients are left
    alone.
    Every epoch is a fresh permutation of the items, and a batch may lie across two of them; a batch
    larger than `items` is all items.

    The curve has a row before the first step, every `schedule.every` steps, and at the end: label,
    step, items (seen so far), train (mean loss of the steps since the row before; None at step 0),
    held_out, best (whether its parameters were kept: the lowest held-out loss, the earliest of
    equal ones).

    A checkpoint is written at every row and stays at the end. If it is damaged, or belongs to
    another schedule, seed, label, number of items, `fingerprint`, or to parameters of other names,
    shapes or types, it is ignored and training begins anew. `fingerprint` stands for everything
    else that decides the result: data, model, starting values.

    UserError when there are no items, or when a loss or a gradient is not finite.
    """
    import torch

    if items < 1:
        raise UserError(f"{label}: there are no items to train on. Give a larger sample")
    tensors = [tensor.requires_grad_(True) for tensor in parameters.values()]
    optimizer = torch.optim.AdamW(
        tensors,
        lr=schedule.learning_rate,
        betas=schedule.betas,
        weight_decay=schedule.weight_decay,
    )
    settings = _settings(parameters, items, schedule, seed, label, fingerprint)
    progress = _resume(checkpoint, settings, parameters, optimizer)
    batch = min(schedule.batch, items)

    def measure(step: int, window: list[float]) -> None:
        with torch.no_grad():
            measured = _finite(float(held_out()), "held-out loss", step, schedule, label)
        row = {"label": label, "step": step, "items": step * batch}
        mean = math.fsum(window) / len(window) if window else None
        progress.curve.append(row | {"train": mean, "held_out": measured})
        if progress.stale() == 0:
            progress.best = _copies(parameters)
        if checkpoint is not None:
            _save(checkpoint, settings, parameters, optimizer, progress)

    if not progress.curve:
        measure(0, [])
    start, window = progress.curve[-1]["step"], []
    drawn = _batches(items, batch, seed, start)
    for step in range(start + 1, schedule.steps + 1):
        if progress.stale() >= schedule.patience:
            break
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part in losses(next(drawn)):
            part.backward(inputs=tensors)
            total += float(part.detach())
        window.append(_finite(total, "loss", step, schedule, label))
        norm = torch.nn.utils.clip_grad_norm_(tensors, schedule.clip)
        _finite(float(norm), "norm of the gradient", step, schedule, label)
        optimizer.step()
        if step % schedule.every == 0 or step == schedule.steps:
            measure(step, window)
            window = []
    optimizer.zero_grad(set_to_none=True)
    _set(parameters, progress.best)
    kept = progress.kept()
    return progress.best, [row | {"best": i == kept} for i, row in enumerate(progress.curve)]


def _batches(items: int, batch: int, seed: int, first: int) -> Iterator[list[int]]:
    """Batches from step `first` on, counted from 0; the order of an epoch depends only on the seed
    and the epoch's number."""

    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(items)

    epoch, done = divmod(first * batch, items)
    waiting = order(epoch)[done:]
    while True:
        while waiting.size < batch:
            epoch += 1
            waiting = np.concatenate([waiting, order(epoch)])
        yield waiting[:batch].tolist()
        waiting = waiting[batch:]


def _finite(value: float, what: str, step: int, schedule: Schedule, label: str) -> float:
    if math.isfinite(value):
        return value
    raise UserError(
        f"{label}: the {what} is {value} at step {step} with learning rate "
        f"{schedule.learning_rate}. Give a lower learning rate, and run the same command again"
    )


def _copies(parameters: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    return {name: tensor.detach().clone() for name, tensor in parameters.items()}


def _set(parameters: dict[str, "torch.Tensor"], values: dict[str, "torch.Tensor"]) -> None:
    import torch

    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(values[name])


def _settings(
    parameters: dict[str, "torch.Tensor"],
    items: int,
    schedule: Schedule,
    seed: int,
    label: str,
    fingerprint: str,
) -> str:
    """Text that is equal for equal settings only."""
    shapes = [[name, list(t.shape), str(t.dtype)] for name, t in parameters.items()]
    return json.dumps(
        [label, fingerprint, seed, items, shapes, dataclasses.asdict(schedule)], sort_keys=True
    )


def _save(
    path: Path,
    settings: str,
    parameters: dict[str, "torch.Tensor"],
    optimizer: Any,
    progress: _Progress,
) -> None:
    import torch

    state = {
        "settings": settings,
        "parameters": _copies(parameters),
        "optimizer": optimizer.state_dict(),
        "best": progress.best,
        "curve": progress.curve,
    }
    stream = io.BytesIO()
    torch.save(state, stream)
    content = stream.getvalue()
    with replacing(path) as partial:
        partial.write_bytes(digest.of_bytes(content).encode() + content)


def _resume(
    path: Path | None, settings: str, parameters: dict[str, "torch.Tensor"], optimizer: Any
) -> _Progress:
    """What a checkpoint of these settings holds, with parameters and optimiser set to it."""
    import torch

    if path is None or not path.exists():
        return _Progress()
    whole = path.read_bytes()
    seal, content = whole[:_SEAL], whole[_SEAL:]
    # A digest guards the checkpoint, since torch reads a flipped bit as another number. A
    # checkpoint only saves time: training from the start ends with the same bytes.
    if digest.of_bytes(content).encode() != seal:
        return _Progress()
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    if state["settings"] != settings:
        return _Progress()
    _set(parameters, state["parameters"])
    optimizer.load_state_dict(state["optimizer"])
    best = {name: state["best"][name].to(tensor.device) for name, tensor in parameters.items()}
    return _Progress(state["curve"], best)
