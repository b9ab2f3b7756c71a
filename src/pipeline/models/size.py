"""How large a model is, known without loading it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.models import conversion
from pipeline.models.folder import checkpoint_dtype, tensors, weight_files
from pipeline.models.gguf_header import Header
from pipeline.models.source import local_folder, settings

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Size:
    """A model's `parameters`, `layers`, FFN neurons per layer (`width`), and number of known
    tokens; `dtype` is the type of its numbers where the configuration says `auto`."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    dtype: str = "float32"

    @property
    def neurons(self) -> int:
        """FFN neurons of all layers."""
        return self.layers * self.width

    def bytes(self, dtype: str) -> int:
        """Bytes of the weights once loaded."""
        return self.parameters * _WIDTHS[self.dtype if dtype == "auto" else dtype]


def of_record(record: Mapping[str, Any]) -> Size:
    """The size by the body of a model.json."""
    return Size(
        record["parameters"],
        record["layers"],
        record["d_ff"],
        record["vocabulary"],
        record["dtype"],
    )


def of_local(model: Model) -> Size | None:
    """The size of a built-in model, a local folder or a GGUF file, from headers; None where they do
    not say."""
    if model.converted:
        return _of_gguf(conversion.header(model))
    folder = local_folder(model)
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    elements = sum(each.elements for path in files for each in tensors(path).values())
    return _told(settings(folder), elements, checkpoint_dtype(folder))


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
    dtype = str(facts.get("dtype") or facts.get("torch_dtype"))
    return _told(facts, sum(headers.parameter_count.values()), dtype)


def _of_gguf(header: Header | None) -> Size | None:
    if header is None:
        return None
    layers, width = header.own("block_count"), header.own("feed_forward_length")
    words = header.tensors.get("token_embd.weight")
    if type(layers) is not int or type(width) is not int or words is None:
        return None
    elements = sum(tensor.elements for tensor in header.tensors.values())
    return Size(elements, layers, width, words.shape[-1], conversion.DTYPE)


def _told(facts: Mapping[str, Any], elements: int, dtype: str) -> Size | None:
    """The size by the keys of config.json; None where they do not say."""

    def count(*names: str) -> int:
        given = (facts.get(name) for name in names)
        return next((n for n in given if type(n) is int and n > 0), 0)

    layers = count("num_hidden_layers", "n_layer")
    width = count("intermediate_size", "ffn_dim", "n_inner") or 4 * count("n_embd")
    if not elements or not layers or not width:
        return None
    known = dtype if dtype in _WIDTHS else "float32"
    return Size(elements, layers, width, count("vocab_size"), known)
