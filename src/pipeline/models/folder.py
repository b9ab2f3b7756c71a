"""A model's folder as it describes itself, read without torch: settings and the weights'
headers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.errors import UserError
from pipeline.models.source import refuse_pointer, settings
from pipeline.models.views import supported

#: In the order in which transformers looks for them, each before the index of its parts.
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
#: safetensors' own limit of a header.
_LONGEST_HEADER = 100_000_000
#: Types from which weights load directly; others hold packed or quantized numbers.
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
#: Buffers that older versions of transformers wrote, and that a model computes by itself.
_COMPUTED = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|(attn|attention)\.(bias|masked_bias)|position_ids)$"
)
#: One of these holds the tokens of a tokenizer without code of its own.
_VOCABULARIES = (
    "tokenizer.json", "tokenizer.model", "vocab.*", "spiece.model", "*.tiktoken", "tekken.json",
)  # fmt: skip
#: Settings that count something.
_SIZES = (
    "vocab_size", "hidden_size", "n_embd", "word_embed_proj_dim", "num_hidden_layers", "n_layer",
    "num_attention_heads", "n_head", "num_key_value_heads", "head_dim", "intermediate_size",
    "ffn_dim", "n_inner", "max_position_embeddings", "n_positions", "n_ctx",
)  # fmt: skip
_LARGEST_SIZE = 2**31 - 1
#: How many names of a list an error shows.
_SHOWN = 4


@dataclass(frozen=True)
class Tensor:
    """A tensor of a safetensors file, by its header."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many numbers the tensor holds."""
        return prod(self.shape)


def check(name: str, model: Model, folder: Path) -> None:
    """Refuse, by a UserError, a folder that cannot be loaded whole, as far as its settings and
    headers tell: code of its own, quantized weights, no FFN view, sizes that are not positive whole
    numbers, no tokenizer, and weight files that are missing or cut short."""
    check_settings(name, model, settings(folder))
    _refuse_without_tokenizer(model, folder)
    for path in weight_files(folder):
        if path.suffix == ".safetensors":
            refuse_packed(name, {key: each.dtype for key, each in tensors(path).items()})
        else:
            refuse_pointer(path)


def check_settings(name: str, model: Model, facts: Mapping[str, Any]) -> None:
    """The part of `check` that config.json decides; `facts` is what it says."""
    if "auto_map" in facts and not model.trust_remote_code:
        raise UserError(
            f"model {name!r} brings its own code ({', '.join(sorted(facts['auto_map']))}); "
            f"read it, then set models.{name}.trust_remote_code: true to run it"
        )
    _refuse_quantized(name, facts)
    supported(architecture(facts))
    for key in _SIZES:
        given = facts.get(key)
        if given is not None and not (type(given) is int and 0 < given <= _LARGEST_SIZE):
            shown = repr(given) if len(repr(given)) < 40 else f"{repr(given)[:40]}..."
            raise UserError(
                f"model {name!r}: config.json has {key}: {shown}; give a whole number from 1 to "
                f"{_LARGEST_SIZE}"
            )


def architecture(facts: Mapping[str, Any]) -> str:
    """The first architecture that config.json names, or `none named`."""
    named = facts.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else "none named"


def checkpoint_dtype(folder: Path) -> str:
    """The type of a checkpoint's numbers: as config.json says, else that of its first weights, and
    float32 where that is another than float32, bfloat16 and float16."""
    facts = settings(folder)
    named = facts.get("dtype") or facts.get("torch_dtype")
    if named is None:
        first = weight_files(folder)[0]
        held = tensors(first) if first.suffix == ".safetensors" else {}
        named = next((_DTYPES[t.dtype] for t in held.values() if t.dtype in _DTYPES), None)
    return str(named) if named in _DTYPES.values() else "float32"


def has_chat_template(folder: Path) -> bool:
    """True where the folder's tokenizer comes with a chat template."""
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(settings(folder, path.name).get("chat_template"))


def ends(folder: Path) -> list[Any]:
    """The tokens that the folder names as ends of an answer; none where it names none."""
    facts = settings(folder)
    if (folder / "generation_config.json").is_file():
        facts = settings(folder, "generation_config.json")
    named = facts.get("eos_token_id")
    several = named if isinstance(named, list) else [named]
    return [end for end in several if end is not None]


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads the weights from: model.safetensors, its parts, or else
    pytorch_model.bin or its parts; UserError for none, and for parts that are missing."""
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (folder / f"{name}.index.json").is_file():
            return _parts(folder, f"{name}.index.json")
    raise UserError(
        f"model folder {folder.name!r} has no {' and no '.join(_WEIGHTS)}, whole or in parts with "
        "an index; give the folder that save_pretrained wrote"
    )


def _parts(folder: Path, index: str) -> list[Path]:
    named = settings(folder, index).get("weight_map")
    if not isinstance(named, dict) or not named or not all(type(n) is str for n in named.values()):
        raise UserError(
            f"model folder {folder.name!r}: {index} has no weight_map, which names the file of "
            "every tensor; copy or download it again"
        )
    files = sorted(set(named.values()))
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"model folder {folder.name!r}: {index} names {len(files)} files, and {len(missing)} "
            f"of them are not there: {shown(missing)}; copy or download them too"
        )
    return [folder / name for name in files]


def tensors(path: Path) -> dict[str, Tensor]:
    """Name -> tensor of a safetensors file; UserError unless header and data are whole."""
    refuse_pointer(path)
    size = path.stat().st_size
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 0 < length <= min(size - 8, _LONGEST_HEADER):
                raise ValueError("its header is not whole")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        found = {name: Tensor(each["dtype"], tuple(each["shape"])) for name, each in header.items()}
        ends = [each["data_offsets"][1] for each in header.values()]
        told = 8 + length + max(ends, default=0)
        if told != size:
            raise ValueError(f"it has {size:,} bytes where its header describes {told:,}")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise UserError(
            f"model folder {path.parent.name!r}: {path.name} is not a whole safetensors file "
            f"({error}); copy or download it again"
        ) from error
    return found


def computed(tensor: str) -> bool:
    """True for a buffer that a checkpoint may hold and no model needs."""
    return bool(_COMPUTED.search(tensor))


def refuse_unfit(name: str, found: Mapping[str, Any]) -> None:
    """UserError where transformers' report of what it loaded (output_loading_info) names a weight
    that is missing, has another shape, or does not belong to the model."""
    strange = [key for key in found["unexpected_keys"] if not computed(key)]
    other = [key[0] if isinstance(key, tuple) else key for key in found["mismatched_keys"]]
    kinds = {
        "missing": found["missing_keys"],
        "of another shape": other,
        "not the model's": strange,
    }
    told = [f"{len(keys)} {kind} ({shown(sorted(keys))})" for kind, keys in kinds.items() if keys]
    if told:
        raise UserError(
            f"model {name!r}: the weight files do not fit config.json; tensors: {'; '.join(told)}. "
            "Save the model again with save_pretrained; names that begin with _orig_mod. or "
            "module. come from a wrapper, so save the model inside it"
        )


def refuse_packed(name: str, dtypes: Mapping[str, str]) -> None:
    """UserError where tensors, given by name with their types as safetensors calls them, are not
    floating-point numbers."""
    packed = sorted(n for n, dtype in dtypes.items() if dtype not in FLOATS and not computed(n))
    if packed:
        raise UserError(
            f"model {name!r}: {len(packed)} of its {len(dtypes)} tensors hold quantized or packed "
            f"weights ({shown([f'{n}: {dtypes[n]}' for n in packed])}); give the model in one of "
            f"{', '.join(sorted(FLOATS))}"
        )


def _refuse_quantized(name: str, facts: Mapping[str, Any]) -> None:
    for key in ("quantization_config", "compression_config"):
        if given := facts.get(key):
            method = given.get("quant_method", "unnamed") if isinstance(given, dict) else given
            raise UserError(
                f"model {name!r} is quantized ({key} in config.json: {method}); the pipeline "
                "quantizes by its own methods, so give the model as it was before quantization"
            )


def _refuse_without_tokenizer(model: Model, folder: Path) -> None:
    found = [path for pattern in _VOCABULARIES for path in folder.glob(pattern)]
    for path in found:
        refuse_pointer(path)
    if not found and not model.trust_remote_code:
        raise UserError(
            f"model folder {folder.name!r} has no tokenizer: give it tokenizer.json or "
            "tokenizer.model, as the tokenizer's save_pretrained writes them"
        )


def shown(names: list[str]) -> str:
    """The first few names."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
