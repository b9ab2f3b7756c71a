"""How large a model is, known without loading it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.models.source import local_folder, settings

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Size:
    """A model's `parameters`, `layers`, FFN neurons of one layer (`width`), and tokens it knows."""

    parameters: int
    layers: int
    width: int
    vocabulary: int

    @property
    def neurons(self) -> int:
        """FFN neurons of all layers."""
        return self.layers * self.width

    def bytes(self, dtype: str) -> int:
        """Bytes of the weights once loaded."""
        return self.parameters * _WIDTHS[dtype]


def of_record(record: Mapping[str, Any]) -> Size:
    """From the body of model.json."""
    return Size(record["parameters"], record["layers"], record["d_ff"], record["vocabulary"])


def of_local(model: Model) -> Size | None:
    """Of a built-in model or a local folder, from headers; None where those do not tell."""
    folder = local_folder(model)
    facts = settings(folder)
    elements = sum(_elements(path) for path in sorted(folder.glob("*.safetensors")))
    layers = facts.get("num_hidden_layers") or facts.get("n_layer")
    width = facts.get("intermediate_size") or facts.get("ffn_dim") or facts.get("n_inner")
    width = width or 4 * facts.get("n_embd", 0)
    if not elements or not layers or not width:
        return None
    return Size(elements, layers, width, facts.get("vocab_size", 0))


def of_hub(model: Model) -> Size | None:
    """Of a Hub model, from the headers that the Hub serves; None without network or access."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub import errors as hub

    try:
        headers = HfApi().get_safetensors_metadata(model.source, revision=model.revision)
        path = hf_hub_download(model.source, "config.json", revision=model.revision)
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError, hub.HTTPError, hub.NotASafetensorsRepoError):
        return None
    elements = sum(headers.parameter_count.values())
    layers = facts.get("num_hidden_layers", 0)
    width = facts.get("intermediate_size") or facts.get("ffn_dim") or 0
    return Size(elements, layers, width, facts.get("vocab_size", 0))


def _elements(path: Path) -> int:
    """Elements of all tensors of a safetensors file, from its header."""
    with open(path, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    total = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            count = 1
            for length in tensor["shape"]:
                count *= length
            total += count
    return total
