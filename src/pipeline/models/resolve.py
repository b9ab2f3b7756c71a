"""Resolve a configured model into model.json."""

from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.digest import of_files
from pipeline.errors import UserError
from pipeline.models.source import Files, files, settings
from pipeline.models.views import EXACT_ZERO_ACTIVATIONS, supported, view

_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab*", "merges.txt", "*.jinja")


def resolve(name: str, model: Model) -> dict[str, Any]:
    """The body of model.json (tables.model.MODEL); shapes come from an empty model, no weights.

    Raises UserError for a folder without weights, an architecture without FFN view, a model that
    needs code of its own, or one that cannot be had.
    """
    found = files(model)
    facts = settings(found.folder)
    if "auto_map" in facts and not model.trust_remote_code:
        raise UserError(
            f"model {name!r} brings its own code ({', '.join(sorted(facts['auto_map']))}); "
            f"read it, then set models.{name}.trust_remote_code: true to run it"
        )
    architecture = supported((facts.get("architectures") or ["none named"])[0])
    empty = _empty_model(found, model.trust_remote_code)
    shape = view(empty)
    first = shape.ffns[0]
    return {
        "name": name,
        "kind": model.kind,
        "source": "" if model.kind == "path" else model.source,
        "commit": found.commit,
        "weights_digest": of_files(found.folder, weight_files(found.folder)),
        "config_digest": of_files(found.folder, [found.folder / "config.json"]),
        "tokenizer_digest": of_files(found.folder, tokenizer_files(found.folder)),
        "architecture": architecture,
        "layers": len(shape.ffns),
        "d_model": first.down.out_features,
        "d_ff": first.d_ff,
        "gated": first.gated,
        "activation": first.activation,
        "exact_zeros": first.activation in EXACT_ZERO_ACTIVATIONS,
        "parameters": sum(p.numel() for p in empty.parameters()),
        "ffn_weights": shape.ffn_weights,
        "linear_weights": shape.linear_weights,
        "vocabulary": empty.config.vocab_size,
        "dtype": model.dtype,
    }


def weight_files(folder: Path) -> list[Path]:
    """Safetensors files, or the pickles of a folder that has no others; UserError for neither."""
    for pattern in ("*.safetensors", "pytorch_model*.bin"):
        found = sorted(folder.glob(pattern))
        if found:
            return found
    raise UserError(f"model folder {folder.name!r} has no *.safetensors and no pytorch_model*.bin")


def tokenizer_files(folder: Path) -> list[Path]:
    """All that decides how text becomes tokens."""
    return sorted({path for pattern in _TOKENIZER_FILES for path in folder.glob(pattern)})


def _empty_model(found: Files, trust_remote_code: bool) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(found.folder, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
