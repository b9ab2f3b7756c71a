"""A first study of a model that somebody brings: its configuration, with data to go with it."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.commands import starter
from pipeline.config.models import Model
from pipeline.errors import UserError, writing
from pipeline.models import conversion, gguf
from pipeline.models import folder as model_folder
from pipeline.models import source as model_source
from pipeline.models.headers import of_hub, of_local
from pipeline.models.lengths import positions_in
from pipeline.models.size import Size
from pipeline.planning import cost
from pipeline.store import packages
from pipeline.store.artifacts import write_text

_FILE = "study.yaml"
#: What a first study may take on one core, in seconds, and its conditions (study.yaml.j2).
_SECONDS, _CONDITIONS = 3000, 16
#: Tokens that an item of each of the tasks takes, all its choices included: PIQA, OpenBookQA, and a
#: passage.
_TOKENS_AN_ITEM = 80 + 110 + 150
_FEWEST, _MOST = 40, 300
#: Tokens that choices of a type of numbers are timed on.
_TIMED_TOKENS, _ROUNDS = 256, 5
#: By how much bfloat16 has to be faster to be taken.
_FASTER = 1.2


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it is loaded."""

    architecture: str
    size: Size
    chat_template: bool
    positions: int | None
    quantization: str | None = None
    bits: int | None = None


def init(source: str, out: Path | None) -> tuple[Path, list[str]]:
    """Look at a model, write a study of it to the folder `out` (default: studies/NAME, here), and
    return the configuration's path and what was found, in sentences.

    UserError for a model that a run would refuse, and where a configuration is there already.
    """
    model = _model(source)
    folder = out or _folder(model)
    path = folder / _FILE
    if path.exists():
        raise UserError(
            f"{path} is there already; run it (python -m pipeline run {path}), or give another "
            "folder as --out"
        )
    facts = _facts(_name(model.source), model)
    dtype, timed = _dtype(facts, model)
    items = _items(facts.size)
    with writing(folder):
        data = starter.write(folder)
    write_text(path, _configuration(folder, model, facts, dtype, items))
    size = facts.size
    said = [
        f"{facts.architecture}: {size.parameters / 1e6:,.0f} million parameters, {size.layers} "
        f"layers of {size.width:,} FFN neurons, {size.vocabulary:,} tokens",
        *([f"weights dequantized from {facts.bits} bits ({facts.quantization})"]
          if facts.bits else []),
        f"computed in {dtype}: {timed}",
        f"tasks: {', '.join(data)}; {items} questions of each",
    ]  # fmt: skip
    return path, said


def begun(source: str) -> Path | None:
    """The configuration that `init` wrote here for a model before; None where there is none."""
    path = _folder(_model(source)) / _FILE
    return path if path.exists() else None


def _folder(model: Model) -> Path:
    return Path("studies") / _name(model.source)


def _model(source: str) -> Model:
    if source.startswith(packages.PREFIX):
        source = _completed(source)
    elif Path(source).expanduser().exists():
        source = str(Path(source).expanduser().resolve())
    try:
        return Model(source=source, dtype="auto")
    except ValidationError as error:
        raise UserError(f"{source}: {error.errors()[0]['msg']}") from None


def _completed(source: str) -> str:
    """The source with the path of the one .gguf file of a package that is named without one."""
    if "/" in source:
        return source
    name, _, version = source.removeprefix(packages.PREFIX).partition("==")
    wheel = packages.newest(name, version)
    found = [path for path in packages.listed(wheel.file) if path.lower().endswith(".gguf")]
    if len(found) != 1:
        raise UserError(
            f"{source}: the package holds {len(found)} .gguf files{': ' * bool(found)}"
            f"{', '.join(found)}; give {packages.PREFIX}{packages.FORM}"
        )
    return f"{packages.PREFIX}{name}=={wheel.version}/{found[0]}"


def _name(source: str) -> str:
    """A name for the study: the last part of the source, without what a path or index adds."""
    last = source.split(",")[0].rstrip("/").rpartition("/")[2].removeprefix("builtin:")
    last = re.sub(r"(-\d{5}-of-\d{5})?\.gguf(\.part\d+)?$", "", last, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.-]+", "-", last.lower()).strip("-.") or "model"


def _facts(name: str, model: Model) -> Facts:
    if model.converted:
        conversion.fetch(model)
        conversion.check(name, model)
        header = conversion.header(model)
        size = of_local(model)
        if header is None or size is None:
            raise UserError(f"{model.source}: its header does not say how large the model is")
        kind, bits = gguf.packed_as(header)
        template = "tokenizer.chat_template" in header.settings
        architecture = gguf.architecture(name, header)
        return Facts(architecture, size, template, header.own("context_length"), kind, bits)
    if model.kind == "hub":
        folder, size = model_source.hub_settings(model), of_hub(model)
        model_folder.check_settings(name, model, model_source.settings(folder))
    else:
        folder, size = model_source.local_folder(model), of_local(model)
        model_folder.check(name, model, folder)
    settings, template = model_source.settings(folder), model_folder.has_chat_template(folder)
    if size is None:
        raise UserError(f"{model.source}: config.json and headers do not say how large it is")
    return Facts(model_folder.architecture(settings), size, template, positions_in(settings))


def _dtype(facts: Facts, model: Model) -> tuple[str, str]:
    """(type to compute in, why): bfloat16 for a checkpoint of 16 bits where it is faster here."""
    if facts.size.dtype == "float32":
        return "float32", "as the checkpoint"
    ratio = _speedup(facts.size)
    if ratio < _FASTER:
        return "float32", f"bfloat16 takes {1 / ratio:.1f} times as long on this processor"
    return "bfloat16", f"{ratio:.1f} times as fast as float32 on this processor"


def _speedup(size: Size) -> float:
    """Time of one of the model's FFN products in float32, in times of the same in bfloat16."""
    import torch

    inner = max(64, size.parameters // (size.layers * size.width * 4))
    best = {}
    for dtype in (torch.float32, torch.bfloat16):
        rows, matrix = (
            torch.ones(_TIMED_TOKENS, inner, dtype=dtype),
            torch.ones(size.width, inner, dtype=dtype),
        )
        times = []
        for _ in range(_ROUNDS):
            begin = time.perf_counter()
            torch.nn.functional.linear(rows, matrix)
            times.append(time.perf_counter() - begin)
        best[dtype] = min(times)
    return best[torch.float32] / best[torch.bfloat16]


def _items(size: Size) -> int:
    """Questions of each task, in tens, such that the study takes about `_SECONDS` of one core."""
    reached = cost.EFFICIENCY * cost.speed()
    tokens = _SECONDS * reached / (2 * size.parameters * _CONDITIONS)
    return max(_FEWEST, min(_MOST, 10 * int(tokens / _TOKENS_AN_ITEM / 10)))


def _configuration(folder: Path, model: Model, facts: Facts, dtype: str, items: int) -> str:
    import jinja2

    template = Path(__file__).with_name("study.yaml.j2").read_text(encoding="utf-8")
    values: dict[str, Any] = {
        "name": _name(model.source),
        "model": model,
        "facts": facts,
        "dtype": dtype,
        "items": items,
        "sequence_length": min(256, facts.positions or 256),
        "data": starter,
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(values) + "\n"
