"""How large a model is, known without loading it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.models.folder import tensors, weight_files
from pipeline.models.source import local_folder, settings

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Size:
    """A model's `parameters`, `layers`, FFN neurons per layer (`width`), and number of known
    tokens."""

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
    """The size by the body of a model.json."""
    return Size(record["parameters"], record["layers"], record["d_ff"], record["vocabulary"])


def of_local(model: Model) -> Size | None:
    """The size of a built-in model or a local folder, from headers; None where they do not say."""
    folder = local_folder(model)
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    elements = sum(each.elements for path in files for each in tensors(path).values())
    return _told(settings(folder), elements)


def of_hub(model: Model) -> Size | None:
    """The size of a Hub model, from the headers that the Hub serves; None without network or
    access."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub import errors as hub

    try:
        headers = HfApi().get_safetensors_metadata(model.source, revision=model.revision)
        path = hf_hub_download(model.source, "config.json", revision=model.revision)
        facts = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError, hub.HTTPError, hub.NotASafetensorsRepoError):
        return None
    return _told(facts, sum(headers.parameter_count.values()))


def _told(facts: Mapping[str, Any], elements: int) -> Size | None:
    """The size by the keys of config.json; None where they do not say."""

    def count(*names: str) -> int:
        given = (facts.get(name) for name in names)
        return next((n for n in given if type(n) is int and n > 0), 0)

    layers = count("num_hidden_layers", "n_layer")
    width = count("intermediate_size", "ffn_dim", "n_inner") or 4 * count("n_embd")
    if not elements or not layers or not width:
        return None
    return Size(elements, layers, width, count("vocab_size"))
