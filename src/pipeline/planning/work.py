"""How much work a job is, in figures known before any job: one function a kind of stage.

Each takes the study, the job's folder and the size of its model, and gives the job's `Work`. The
table of stages names the function of each stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from pipeline.config.evaluation import Evaluation
from pipeline.config.methods import Method
from pipeline.methods.part import FittingCost
from pipeline.models import memory
from pipeline.models.memory import LOSS_ROOM, Room
from pipeline.models.size import Size
from pipeline.planning.conditions import PREPARED, Conditions, part_class
from pipeline.planning.folder import Folder
from pipeline.tasks import task as tasks
from pipeline.tasks.format import Form
from pipeline.tasks.task import Task

#: Average number of tokens of an English word, with the tokenizers of today's models.
_TOKENS_A_WORD = 1.3
#: Number of items from which a task's length is estimated.
_SAMPLE = 100
#: Average length of an answer, as a share of the tokens that the task allows.
_ANSWERED = 0.5
#: Forward passes that measuring a sampled token costs, its share of fitting a threshold included.
_SAMPLED = 2.5
#: Tokens on which achieved sparsity is measured, and how many measurements a level takes.
_MEASURED, _MEASUREMENTS = 8192, 10
#: Forward passes that a training step costs: the student's, its gradients, and the teacher's.
_BACKWARD = 4
#: Forward passes over its text by a policy that measures a loss.
_COSTINGS = 10


@dataclass(frozen=True, kw_only=True)
class Work:
    """The work of one job: `tokens` go through the model, or through its tokenizer; `flops` are
    those of the model on them; `rows` are rows of the tables it writes, `batch_bytes` is what one
    batch needs beside the weights; `disk` is what it writes besides tables, in bytes. A job that
    `merges` only puts shards together."""

    device: str = "cpu"
    tokens: float = 0
    flops: float = 0
    weight_bytes: int = 0
    batch_bytes: float = 0
    rows: float = 0
    disk: int = 0
    merges: bool = False


Estimate = Callable[[Conditions, Folder, Size], Work]


def converting(study: Conditions, folder: Folder, size: Size) -> Work:
    """All weights, which count as tokens here, are unpacked into float32 beside the model, and
    written."""
    disk = size.bytes(study.config.models[folder.model].dtype)
    return Work(tokens=size.parameters, weight_bytes=2 * size.bytes("float32"), rows=1, disk=disk)


def resolving(study: Conditions, folder: Folder, size: Size) -> Work:
    """The weights are read once, for their digest."""
    return Work(weight_bytes=size.bytes(study.config.models[folder.model].dtype), rows=1)


def extracting(study: Conditions, folder: Folder, size: Size) -> Work:
    """All tokens of the corpus, or a shard's share; putting shards together tokenizes nothing."""
    tokens = study.config.calibration[folder.corpus].tokens / folder.shards
    cut = 0 if folder.merges else tokens
    return Work(tokens=cut, rows=tokens, merges=folder.merges)


def checking(study: Conditions, folder: Folder, size: Size) -> Work:
    """The text of the corpus is searched for the tasks' items."""
    return Work(tokens=study.config.calibration[folder.corpus].tokens, rows=1)


def clearing(study: Conditions, folder: Folder, size: Size) -> Work:
    """A few small files are read."""
    return Work(rows=1)


def sampling(study: Conditions, folder: Folder, size: Size) -> Work:
    """Sampled tokens are measured one by one, all layers of each."""
    model, profile = study.config.models[folder.model], study.config.profile
    tokens = min(profile.cett_tokens, study.config.calibration[folder.corpus].tokens)
    return Work(
        device=model.device,
        tokens=tokens,
        flops=_SAMPLED * 2 * size.parameters * tokens,
        weight_bytes=size.bytes(model.dtype),
        batch_bytes=32 * tokens * size.width,
        rows=size.layers * tokens,
    )


def profiling(study: Conditions, folder: Folder, size: Size) -> Work:
    """One pass over a shard of the corpus."""
    return _streamed(study, folder, size, study.config.calibration[folder.corpus].tokens)


def _streamed(
    study: Conditions, folder: Folder, size: Size, tokens: float, held: float = 0
) -> Work:
    """One forward pass over `tokens` divided among the shards, with `held` bytes beside a batch."""
    model, profile = study.config.models[folder.model], study.config.profile
    share = tokens / folder.shards
    return Work(
        device=model.device,
        tokens=share,
        flops=2 * size.parameters * share,
        weight_bytes=size.bytes(model.dtype),
        batch_bytes=_read(study, folder, size, tokens / profile.blocks) + held,
        rows=size.neurons * profile.blocks / folder.shards,
    )


def merging(study: Conditions, folder: Folder, size: Size) -> Work:
    """The rows of all blocks are added up."""
    return Work(rows=size.neurons * study.config.profile.blocks)


def spreading(study: Conditions, folder: Folder, size: Size) -> Work:
    """The neurons of the profiles on all corpora are read."""
    return Work(rows=size.neurons * len(study.corpora))


def reading(study: Conditions, folder: Folder, size: Size) -> Work:
    """Tables with a row a neuron are read once."""
    return Work(rows=size.neurons)


def classifying(study: Conditions, folder: Folder, size: Size) -> Work:
    """A policy that measures a loss runs the model some ten times; others read tables."""
    section = study.config.classification[folder.classification]
    if not section.other or study.needs(section.policy) != "sequences":
        return Work(rows=size.neurons)
    corpus, model = study.config.calibration[section.other], study.config.models[folder.model]
    tokens, length = _COSTINGS * corpus.tokens, corpus.sequence_length
    held = _held(LOSS_ROOM, memory.read_bytes(size, length), corpus.tokens / length)
    scored = memory.piece_bytes(size.vocabulary, LOSS_ROOM.sequences * length)
    return Work(
        device=model.device,
        tokens=tokens,
        flops=2 * size.parameters * tokens,
        weight_bytes=size.bytes(model.dtype),
        batch_bytes=held + scored,
        rows=size.neurons,
    )


def fitting(study: Conditions, folder: Folder, size: Size) -> Work:
    """A method is measured a few times on some of its text, in addition to the costs that its parts
    state."""
    method, corpus = study.config.methods[folder.method], study.config.calibration[folder.corpus]
    model = study.config.models[folder.model]
    tokens: float = min(_MEASURED, corpus.tokens) * (_MEASUREMENTS if method.measure else 2)
    cost = FittingCost.of_all(_part_cost(kind, method) for kind in _fitted_here(study, folder))
    tokens += cost.tokens + cost.passes * corpus.tokens
    trained = cost.trained * corpus.sequence_length
    held = _read(study, folder, size, corpus.tokens)
    if trained:
        each = memory.trained_bytes(size, corpus.sequence_length)
        step = _held(_room(study), each, corpus.tokens / corpus.sequence_length)
        held = max(held, step) + memory.piece_bytes(size.vocabulary, trained)
    return Work(
        device=model.device,
        tokens=tokens + trained,
        flops=2 * size.parameters * (tokens + _BACKWARD * trained),
        weight_bytes=cost.copies * size.bytes(model.dtype),
        batch_bytes=held,
        rows=size.neurons,
    )


def _read(study: Conditions, folder: Folder, size: Size, tokens: float) -> float:
    """Bytes of a batch of a corpus of which `tokens` are at hand at most."""
    length = study.config.calibration[folder.corpus].sequence_length
    return _held(_room(study), memory.read_bytes(size, length), tokens / length)


def _room(study: Conditions) -> Room:
    return Room(study.config.profile.batch_size, study.config.profile.batch_megabytes)


def _held(room: Room, each: float, sequences: float) -> float:
    """Bytes of a batch of sequences of `each` bytes, of which there are so many."""
    return each * min(room.of(each), sequences)


def _fitted_here(study: Conditions, folder: Folder) -> list[str]:
    """Kinds of a method's parts that a job fits. Where levels share work, `prepare` fits those up
    to the sparsifier and the jobs of the levels fit the others; else each job fits all."""
    parts = study.config.methods[folder.method].parts
    if not study.prepares(folder.method):
        return list(parts)
    return [kind for kind in parts if (kind in PREPARED) == (folder.rule == "prepare")]


def _part_cost(kind: str, method: Method) -> FittingCost:
    """What fitting one of a method's parts takes, as the part itself says."""
    entry = part_class(kind, method)
    cost: FittingCost = entry.cost(entry.Options.model_validate(method.parts[kind]["options"]))
    return cost


def evaluating(study: Conditions, folder: Folder, size: Size) -> Work:
    """All items of the tasks, or a shard's share; putting shards together runs no model."""
    config, model = study.config.evaluation, study.config.models[folder.model]
    counted = list(map(_items, _tasks(config)))
    items = sum(items for items, _ in counted) / folder.shards
    if folder.merges:
        return Work(rows=items, merges=True)
    tokens = sum(items * each for items, each in counted) / folder.shards
    width = size.number(model.dtype)
    held = max(_asked_bytes(name, config, size, width, items) for name in config.tasks)
    return Work(
        device=model.device,
        tokens=tokens,
        flops=2 * size.parameters * tokens,
        weight_bytes=size.bytes(model.dtype),
        batch_bytes=held,
        rows=items,
    )


def _asked_bytes(name: str, config: Evaluation, size: Size, width: int, items: float) -> float:
    """Bytes of the largest batch of a task, with the logits of what is scored."""
    room = Room(config.batch_size, config.batch_megabytes)
    asked = _longest((name, config.limit))
    sequences = min(config.block_items, items) * asked.sequences
    if asked.answer:
        each = memory.written_bytes(size, round(asked.length), asked.answer, width)
        return _held(room, each, sequences)
    each = memory.read_bytes(size, round(asked.length))
    scored = min(room.of(each), sequences) * asked.scored
    return _held(room, each, sequences) + memory.piece_bytes(size.vocabulary, scored)


def analysing(study: Conditions, folder: Folder, size: Size) -> Work:
    """The answers to every item under every condition, the dense ones included; a row for each
    condition."""
    conditions = len(study.conditions) + len(study.config.models)
    items = sum(items for items, _ in map(_items, _tasks(study.config.evaluation)))
    return Work(tokens=conditions * items, rows=conditions)


def _tasks(config: Evaluation) -> tuple[tuple[str, int | None], ...]:
    return tuple((name, config.limit) for name in config.tasks)


@cache
def _items(asked: tuple[str, int | None]) -> tuple[int, float]:
    """(items, tokens an item) of a task up to a limit; tokens are estimated from words."""
    name, limit = asked
    task = tasks.find(name)
    items = task.items()[:limit]
    sample = items[:_SAMPLE]
    return len(items), sum(_tokens(task, item) for item in sample) / len(sample)


class _Longest(NamedTuple):
    """Of a task's items: sequences an item, tokens of the longest one, scored ones of these, and
    tokens that an answer may have (0 where none is written)."""

    sequences: int
    length: float
    scored: float
    answer: int


@cache
def _longest(asked: tuple[str, int | None]) -> _Longest:
    """The longest of a task's items up to a limit; tokens are estimated from words."""
    name, limit = asked
    task = tasks.find(name)
    found = []
    for item in task.items()[:limit]:
        prompt = _TOKENS_A_WORD * len(task.question(item).split())
        if task.form is Form.CHOICE:
            choices, _ = task.choices(item)
            most = max(_TOKENS_A_WORD * len(choice.split()) for choice in choices)
            found.append(_Longest(len(choices), prompt + most, most, 0))
        elif task.form is Form.TEXT:
            found.append(_Longest(1, prompt, prompt, 0))
        else:
            found.append(_Longest(1, prompt, 0, int(task.generation["max_gen_toks"])))
    return _Longest(*map(max, zip(*found, strict=True)))


def _tokens(task: Task, item: Mapping[str, Any]) -> float:
    prompt = _TOKENS_A_WORD * len(task.question(item).split())
    if task.form is Form.CHOICE:
        choices, _ = task.choices(item)
        return sum(prompt + _TOKENS_A_WORD * len(choice.split()) for choice in choices)
    if task.form is Form.TEXT:
        return prompt
    allowed: int = task.generation["max_gen_toks"]
    return prompt + _ANSWERED * allowed
