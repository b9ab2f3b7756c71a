"""Training batches: examples packed into rows, each example blind to its neighbours."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.reference.items import Family, Item, training_items
from pipeline.reference.vocabulary import BOS, EOS, PAD, token_ids
from pipeline.registry import FAMILIES


@dataclass(frozen=True)
class TrainingBatch:
    """Packed rows, all arrays `(rows, row_length)`.

    `segments` numbers the examples of a row from 1 (0 is padding), `positions` restart with each
    example, `weights` are the loss weights of the tokens as targets.
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    weights: np.ndarray


def batches(
    mixture: Mapping[str, float],
    seed: int,
    rows: int,
    row_length: int,
    question_weight: float,
    curriculum_batches: int,
) -> Iterator[TrainingBatch]:
    """Endless batches from one seed; sizes grow from the easiest third to all of them."""
    rng = random.Random(seed)
    progress = [0.0]
    sources = {
        name: training_items(family, rng, _growing(family, progress))
        for name, family in ((name, FAMILIES.load(name)) for name in sorted(mixture))
    }
    names, shares = list(sources), [mixture[name] for name in sources]
    produced = 0
    while True:
        progress[0] = min(1.0, produced / max(1, curriculum_batches))
        batch = TrainingBatch(
            *(np.zeros((rows, row_length), dtype=t) for t in (int, int, int, np.float32))
        )
        batch.tokens[:] = PAD
        for row in range(rows):
            at, segment = 0, 1
            while True:
                item = next(sources[rng.choices(names, shares)[0]])
                tokens, weights = encoded(item, question_weight)
                end = at + len(tokens)
                if end > row_length:
                    break
                batch.tokens[row, at:end] = tokens
                batch.segments[row, at:end] = segment
                batch.positions[row, at:end] = np.arange(len(tokens))
                batch.weights[row, at:end] = weights
                at, segment = end, segment + 1
        produced += 1
        yield batch


def encoded(item: Item, question_weight: float) -> tuple[list[int], list[float]]:
    """Token ids of <bos> prompt answer <eos>, and the loss weight of each as a target: all of them
    are trained on, those of the question with a small weight."""
    prompt, answer = token_ids(item.prompt), token_ids(item.answer)
    weights = [0.0] + [question_weight] * len(prompt) + [1.0] * (len(answer) + 1)
    return [BOS, *prompt, *answer, EOS], weights


def _growing(family: Family, progress: list[float]) -> Callable[[], range]:
    """Sizes in use at the current progress: the easiest third at first, all at the end."""

    def sizes() -> range:
        count = len(family.sizes)
        return family.sizes[: max(1, round(count * (1 + 2 * progress[0]) / 3))]

    return sizes
