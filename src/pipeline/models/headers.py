"""How large a model is, known without loading it."""

import json
from pathlib import Path

from pipeline.config.models import Model
from pipeline.models import conversion
from pipeline.models.folder import checkpoint_dtype, tensors, weight_files
from pipeline.models.gguf_header import Header
from pipeline.models.size import Size, told
from pipeline.models.source import local_folder, settings


def of_local(model: Model) -> Size | None:
    """The size of a built-in model, a local folder or a GGUF file, from headers; None where they do
    not say."""
    if model.converted:
        return _of_gguf(conversion.header(model))
    folder = local_folder(model)
    files = [path for path in weight_files(folder) if path.suffix == ".safetensors"]
    elements = sum(each.elements for path in files for each in tensors(path).values())
    return told(settings(folder), elements, checkpoint_dtype(folder))


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
    return told(facts, sum(headers.parameter_count.values()), dtype)


def _of_gguf(header: Header | None) -> Size | None:
    if header is None:
        return None
    layers, width = header.own("block_count"), header.own("feed_forward_length")
    words = header.tensors.get("token_embd.weight")
    if type(layers) is not int or type(width) is not int or words is None:
        return None
    d_model, vocabulary = words.shape
    # Keys and values count as many as a model has at most.
    elements = sum(tensor.elements for tensor in header.tensors.values())
    return Size(elements, layers, width, vocabulary, d_model, 2 * d_model, conversion.DTYPE)
