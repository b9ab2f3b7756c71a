"""A study's jobs with the work that each is, in figures known before any job."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline import tasks
from pipeline.artifacts import Manifest
from pipeline.config.calibration import Corpus
from pipeline.config.evaluation import Evaluation
from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import size as sizes
from pipeline.models.size import Size
from pipeline.study import FILES, Folder, Study
from pipeline.tables.jobs import JOBS
from pipeline.tables.model import MODEL
from pipeline.task_format import Form
from pipeline.tasks import Task

_STAGES = {rule: number for number, rule in enumerate(FILES)}
#: Tokens a word of English is on average, with the tokenizers of today's models.
_TOKENS_A_WORD = 1.3
#: Items of a task that its length is taken from.
_SAMPLE = 100
#: Share of the tokens that a task allows an answer which answers have on average.
_ANSWERED = 0.5
#: Forward passes that measuring a sampled token costs, its share of fitting a threshold included.
_SAMPLED = 3
#: Tokens that achieved sparsity is measured on, and how often until a level is met.
_MEASURED, _MEASUREMENTS = 8192, 10
#: Forward passes that a training step costs: the student's, its gradients, and the teacher's.
_BACKWARD = 4
#: What stands in for a model of unknown size: one of eight billion parameters.
UNKNOWN = Size(8_000_000_000, 32, 14_336, 128_256)


@dataclass(frozen=True)
class Job:
    """One job. `identity` is that of its `Study.folders`; `tokens` go through the model, or through
    its tokenizer; `flops` are those of the model on them; `rows` are rows of the tables it writes,
    `batch_bytes` is what one batch needs beside the weights. A job that `merges` puts shards
    together and no more."""

    rule: str
    folder: str
    identity: str = ""
    device: str = "cpu"
    tokens: float = 0
    flops: float = 0
    weight_bytes: int = 0
    batch_bytes: float = 0
    rows: float = 0
    merges: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """The files that stand for its artifacts."""
        return tuple(f"{self.folder}/{name}" for name in FILES[self.rule])

    @property
    def timing(self) -> Path:
        """Its timing, from where `results` is."""
        return Path(f"results/timing/{self._place}.tsv")

    @property
    def log(self) -> Path:
        """Its log file, from where `results` is."""
        return Path(f"results/logs/{self._place}.log")

    @property
    def _place(self) -> str:
        place = self.folder.removeprefix("results/")
        return place.replace("/report", "/build_report") if self.rule == "build_report" else place


def size_of(study: Study, model: str, directory: Path, ask: bool = False) -> Size | None:
    """The size of a model by its name in the study; None when nothing here tells it.

    A Hub model's stands in model.json once it is resolved; before that the Hub is asked if `ask`.
    """
    section = study.config.models[model]
    record = directory / f"results/shared/resolve_model/{study.model_key(model)}/model.json"
    if section.kind != "hub":
        return sizes.of_local(section)
    try:
        return sizes.of_record(MODEL.read(record))
    except UserError:
        return sizes.of_hub(section) if ask else None


def jobs_of(study: Study, known: Mapping[str, Size | None]) -> list[Job]:
    """All jobs of the study, stage by stage; `known` are the models' sizes by name, of which an
    unknown one counts as UNKNOWN."""
    found = {name: size or UNKNOWN for name, size in known.items()}
    jobs = [
        replace(_job(study, path, folder, found), identity=folder.identity)
        for path, folder in study.folders.items()
    ]
    return sorted(jobs, key=lambda job: _STAGES[job.rule])


def job_like(
    study: Study,
    rule: str,
    model: str,
    corpus: str | None,
    known: Mapping[str, Size | None],
    method: str | None = None,
) -> Job:
    """The first job of a rule on a model and, if they are given, a corpus and a method; it stands
    for the others, whose work is the same."""
    found = {name: size or UNKNOWN for name, size in known.items()}
    path, folder = next(
        (path, folder)
        for path, folder in study.folders.items()
        if folder.rule == rule
        and folder.model == model
        and corpus in (None, folder.corpus)
        and method in (None, folder.method)
    )
    return _job(study, path, folder, found)


def _job(study: Study, path: str, folder: Folder, known: Mapping[str, Size]) -> Job:
    rule = folder.rule
    if not folder.model:
        conditions = len(study.conditions) + len(study.config.models)
        items = sum(items for items, _ in map(_items, _tasks(study.config.evaluation)))
        return Job(rule, path, tokens=conditions * items, rows=conditions)
    model, size = study.config.models[folder.model], known[folder.model]
    if rule == "fit":
        return Job(rule, path, rows=size.neurons)
    if rule == "power_law":
        return Job(rule, path, rows=size.neurons * len(study.corpora))
    if rule == "classify":
        return _classification(study, path, model, size)
    if rule.startswith("evaluate"):
        return _evaluation(path, folder, model, size, study.config.evaluation)
    corpus = study.config.calibration.get(folder.corpus)
    if corpus is None:
        return Job(rule, path, weight_bytes=size.bytes(model.dtype), rows=1)
    if rule in ("extract_shard", "extract_calibration"):
        tokens = corpus.tokens / folder.shards
        cut = 0 if folder.merges else tokens
        return Job(rule, path, tokens=cut, rows=tokens, merges=folder.merges)
    if rule in ("prepare", "fit_with_model"):
        return _fitting(study, path, folder, model, size)
    profile = study.config.profile
    blocks = profile.blocks
    if rule == "merge_profile":
        return Job(rule, path, rows=size.neurons * blocks)
    if rule == "profile_sample":
        tokens = min(profile.cett_tokens, corpus.tokens)
        return Job(
            rule, path, "", model.device, tokens, _SAMPLED * 2 * size.parameters * tokens,
            size.bytes(model.dtype), 32 * tokens * size.width, size.layers * tokens,
        )  # fmt: skip
    tokens = corpus.tokens / folder.shards
    if rule == "collect_residuals":
        tokens = min(profile.residual_tokens, corpus.tokens)
    batch = min(profile.batch_size * corpus.sequence_length, corpus.tokens)
    # The largest of a layer's matrices of second moments, in float64.
    held = 8 * size.layers * size.width**2 if rule == "collect_hessian" else 0
    return Job(
        rule, path, "", model.device, tokens, 2 * size.parameters * tokens,
        size.bytes(model.dtype), 32 * batch * size.width + held,
        size.neurons * blocks / folder.shards,
    )  # fmt: skip


def _fitting(study: Study, path: str, folder: Folder, model: Model, size: Size) -> Job:
    """A method is measured a few times on some of its text; training goes over all of it."""
    method, corpus = study.config.methods[folder.method], study.config.calibration[folder.corpus]
    tokens: float = min(_MEASURED, corpus.tokens) * (_MEASUREMENTS if method.measure else 2)
    trained = 0 if method.compensation is None else _trained(method.compensation.options, corpus)
    batch = min(study.config.profile.batch_size * corpus.sequence_length, corpus.tokens)
    copies = 1 if method.compensation is None else 3
    return Job(
        folder.rule, path, "", model.device, tokens + trained,
        2 * size.parameters * (tokens + _BACKWARD * trained), copies * size.bytes(model.dtype),
        32 * batch * size.width + (8 * batch * size.vocabulary if trained else 0), size.neurons,
    )  # fmt: skip


def _trained(options: Mapping[str, Any], corpus: Corpus) -> float:
    """Tokens that a compensation is trained on; none where it is a closed form."""
    steps: float = options.get("steps", 0)
    return steps * options.get("batch", 0) * corpus.sequence_length


def _classification(study: Study, path: str, model: Model, size: Size) -> Job:
    """A policy that measures a loss runs the model some ten times; others read tables."""
    section = study.config.classification[path.rpartition("/")[2]]
    if not section.other or study.needs(section.policy) != "sequences":
        return Job("classify", path, rows=size.neurons)
    corpus = study.config.calibration[section.other]
    tokens, batch = 10 * corpus.tokens, 8 * corpus.sequence_length
    return Job(
        "classify", path, "", model.device, tokens, 2 * size.parameters * tokens,
        size.bytes(model.dtype), 8 * batch * (size.vocabulary + size.width), size.neurons,
    )  # fmt: skip


def _evaluation(path: str, folder: Folder, model: Model, size: Size, config: Evaluation) -> Job:
    counted = list(map(_items, _tasks(config)))
    items = sum(items for items, _ in counted) / folder.shards
    if folder.merges:
        return Job(folder.rule, path, rows=items, merges=True)
    tokens = sum(items * each for items, each in counted) / folder.shards
    longest = max(each for _, each in counted)
    batch = min(config.batch_size, config.block_items, items) * longest
    return Job(
        folder.rule, path, "", model.device, tokens, 2 * size.parameters * tokens,
        size.bytes(model.dtype), 8 * batch * (size.vocabulary + size.width), items,
    )  # fmt: skip


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


def _tokens(task: Task, item: Mapping[str, Any]) -> float:
    prompt = _TOKENS_A_WORD * len(task.question(item).split())
    if task.form is Form.CHOICE:
        choices, _ = task.choices(item)
        return sum(prompt + _TOKENS_A_WORD * len(choice.split()) for choice in choices)
    if task.form is Form.TEXT:
        return prompt
    allowed: int = task.generation["max_gen_toks"]
    return prompt + _ANSWERED * allowed


def write_jobs(path: Path, study: str, jobs: Iterable[Job]) -> None:
    """Write jobs.json."""
    facts = {}
    for job in jobs:
        values = asdict(job)
        facts[values.pop("folder")] = values
    JOBS.write(path, {"study": study, "jobs": facts}, Manifest(rule="all", source=""))


def read_jobs(path: Path) -> list[Job]:
    """The jobs of a study as it was last started, stage by stage; UserError when the file cannot be
    read."""
    jobs = [Job(folder=folder, **facts) for folder, facts in JOBS.read(path)["jobs"].items()]
    return sorted(jobs, key=lambda job: _STAGES[job.rule])
