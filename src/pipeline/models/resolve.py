"""Resolve a configured model into model.json, after checking that it loads as the model that was
asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.errors import UserError, at
from pipeline.models import folder as model_folder
from pipeline.models import tokens
from pipeline.models.lengths import positions
from pipeline.models.source import ModelFiles, files, reading, settings
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, ModelView, view
from pipeline.store.digest import of_files

_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.jinja")


@dataclass(frozen=True)
class Opened:
    """A model's files, the model without its weights, its FFN view, and its tokenizer."""

    files: ModelFiles
    model: Any
    view: ModelView
    tokenizer: Any


def open_model(name: str, model: Model) -> Opened:
    """The model as transformers loads it, but without reading weights (on the meta device).

    Raises UserError for a model that is not available or needs code of its own, for a folder that
    is incomplete (folder.check), weights that do not fit the configuration, a class other than the
    architecture named, blocks that the architecture's view does not fit, and a tokenizer that is
    missing or does not fit (tokens.check).
    """
    found = files(model)
    model_folder.check(name, model, found.folder)
    empty = _empty_model(name, found.folder, model.trust_remote_code)
    with at(f"model {name!r}"):
        tokenizer = tokens.ready(tokens.read(found.folder, model.trust_remote_code))
        embeddings = empty.get_input_embeddings().weight.shape[0]
        tokens.check(tokenizer, model_folder.ends(found.folder), embeddings)
        return Opened(found, empty, view(empty), tokenizer)


def resolve(name: str, model: Model, converted: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body of model.json (tables.model.MODEL); the UserErrors of `open_model`. `converted` is
    the body of tables.converted.CONVERTED where the model is the folder that a conversion made."""
    opened = open_model(name, model)
    found, empty = opened.files, opened.model
    layout = opened.view
    first = layout.ffns[0]
    return {
        "name": name,
        "kind": converted["kind"] if converted else model.kind,
        "source": converted["source"] if converted else _told_source(model),
        "sha256": converted["sha256"] if converted else None,
        "quantization": converted["quantization"] if converted else None,
        "bits": converted["bits"] if converted else None,
        "commit": found.commit,
        "weights_digest": of_files(found.folder, model_folder.weight_files(found.folder)),
        "config_digest": of_files(found.folder, [found.folder / "config.json"]),
        "tokenizer_digest": of_files(found.folder, tokenizer_files(found.folder)),
        "architecture": type(empty).__name__,
        "layers": len(layout.ffns),
        "d_model": first.down.out_features,
        "d_ff": first.d_ff,
        "gated": first.gated,
        "activation": first.activation,
        "exact_zeros": first.activation in EXACT_ZERO_ACTIVATIONS,
        "parameters": sum(p.numel() for p in empty.parameters()),
        "ffn_weights": layout.ffn_weights,
        "linear_weights": layout.linear_weights,
        "vocabulary": empty.config.vocab_size,
        "positions": positions(empty.config),
        "dtype": _dtype(model, found.folder),
    }


def _told_source(model: Model) -> str:
    """Where anybody can get the model; a local folder's path means nothing elsewhere."""
    return "" if model.kind == "path" else model.source


def _dtype(model: Model, folder: Path) -> str:
    return model_folder.checkpoint_dtype(folder) if model.dtype == "auto" else model.dtype


def tokenizer_files(folder: Path) -> list[Path]:
    """All that decides how text becomes tokens."""
    return sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)})


def _empty_model(name: str, folder: Path, trust_remote_code: bool) -> Any:
    from transformers import AutoModelForCausalLM

    with reading(folder, "config.json with the weights"):
        _refuse_packed_pickles(name, folder)
        empty, found = AutoModelForCausalLM.from_pretrained(
            folder,
            device_map="meta",
            weights_only=True,
            trust_remote_code=trust_remote_code,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    model_folder.refuse_unfit(name, found)
    named = model_folder.architecture(settings(folder))
    if type(empty).__name__ != named:
        raise UserError(
            f"model {name!r}: config.json names the architecture {named}, and its model_type "
            f"loads as {type(empty).__name__}; make the two agree"
        )
    return empty


def _refuse_packed_pickles(name: str, folder: Path) -> None:
    import torch

    floats = {
        torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    }  # fmt: skip
    for path in model_folder.weight_files(folder):
        if path.suffix != ".safetensors":
            held = torch.load(path, map_location="meta", weights_only=True)
            dtypes = {key: floats.get(each.dtype, str(each.dtype)) for key, each in held.items()}
            model_folder.refuse_packed(name, dtypes)
