"""Load a resolved model with its tokenizer."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models import tokens
from pipeline.models.folder import refuse_unfit, weight_files
from pipeline.models.resolve import tokenizer_files
from pipeline.models.source import files
from pipeline.store.digest import LARGE_FILE, of_files


def load(model: Model, record: Mapping[str, Any], whole: bool = True) -> tuple[Any, Any]:
    """Returns (model in evaluation mode on its device, tokenizer); `record` is the body of
    model.json.

    The files must still be those that were resolved: configuration and tokenizer are checked by
    content, and so are weights up to 64 MiB. Pickled weights load with weights_only. With
    `max_memory` layers lie on several devices and on disk; UserError where a `whole` model is
    needed.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.use_deterministic_algorithms(True, warn_only=True)
    # Nothing here reads memory before writing it, so filling it first would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    if model.gpus and not torch.cuda.is_available():
        asked = f"max_memory {model.max_memory}" if model.max_memory else f"device {model.device!r}"
        raise UserError(
            f"model {record['name']!r}: {asked}, and torch {torch.__version__} finds no GPU here; "
            "set device: cpu, or run where there is one"
        )
    found = files(model, record["commit"])
    _check(found.folder, record)
    loaded, told = AutoModelForCausalLM.from_pretrained(
        found.folder,
        dtype=getattr(torch, record["dtype"]),
        weights_only=True,
        trust_remote_code=model.trust_remote_code,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **_placement(model, record["name"], found.folder, whole),
    )
    # Weights that a checkpoint lacks are filled with random numbers.
    refuse_unfit(record["name"], told)
    if not model.max_memory:
        loaded = loaded.to(model.device)
    return loaded.eval(), load_tokenizer(model, record)


def _placement(model: Model, name: str, folder: Path, whole: bool) -> dict[str, Any]:
    """Keywords that spread the layers over devices and disk; none without `max_memory`."""
    if not model.max_memory:
        return {}
    if whole:
        raise UserError(
            f"model {name!r}: with max_memory a model can be profiled (--until power_law); "
            "methods, evaluation and the policy perplexity need all of it on one device"
        )
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model {name!r}: max_memory reads layers from *.safetensors; convert the model to "
            "that format"
        )
    limits = {int(d) if d.isdigit() else d: size for d, size in model.max_memory.items()}
    # Layers are read from the safetensors files where they lie; nothing is written.
    return {"device_map": "auto", "max_memory": limits, "offload_folder": tempfile.gettempdir()}


def load_tokenizer(model: Model, record: Mapping[str, Any]) -> Any:
    """The tokenizer alone, as `tokens.ready` makes it."""
    return tokens.ready(own_tokenizer(model, record))


def own_tokenizer(model: Model, record: Mapping[str, Any]) -> Any:
    """The tokenizer as the model's files have it."""
    return tokens.read(files(model, record["commit"]).folder, model.trust_remote_code)


def _check(folder: Any, record: Mapping[str, Any]) -> None:
    weights = weight_files(folder)
    same = of_files(folder, [folder / "config.json"]) == record["config_digest"]
    same = same and of_files(folder, tokenizer_files(folder)) == record["tokenizer_digest"]
    if same and sum(path.stat().st_size for path in weights) <= LARGE_FILE:
        same = of_files(folder, weights) == record["weights_digest"]
    if not same:
        raise UserError(
            f"model {record['name']!r}: its files changed since model.json was made; "
            "remove that model.json and run again"
        )
