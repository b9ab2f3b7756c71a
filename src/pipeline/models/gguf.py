"""GGUF files, the form in which llama.cpp keeps models: what can be read from them exactly, and the
safetensors folder made of one.

transformers reads a GGUF file, and passes over whatever it has no use for: tensors that scale
rotary positions, say, or settings of an architecture. The model then computes something else, and
nothing tells. So a file is taken only if every one of its tensors and settings has a known place,
and after the conversion the settings are compared with the configuration that came out.
"""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.models import gguf_header
from pipeline.models.folder import refuse_unfit
from pipeline.models.gguf_header import Header, is_gguf

#: Tensors outside the blocks, and of every block.
_OUTER = ("token_embd.weight", "output_norm.weight", "output.weight")
_INNER = (
    "attn_norm.weight", "attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight",
    "ffn_norm.weight", "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight",
)  # fmt: skip
_BLOCK = re.compile(r"blk\.\d+\.")
_HEAD_NORMS = ("attn_q_norm.weight", "attn_k_norm.weight")
_BEHIND = ("post_attention_norm.weight", "post_ffw_norm.weight")
#: Settings of an architecture -> the key of transformers' configuration that must say the same.
_SETTINGS = {
    "context_length": "max_position_embeddings",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "embedding_length": "hidden_size",
    "vocab_size": "vocab_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.value_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.dimension_count": "head_dim",
    "rope.freq_base": "rope_theta",
}
#: A setting that says nothing where it has this value.
_NEUTRAL = {"rope.scaling.type": "none"}
#: Ways to split a text before its bytes are merged that transformers knows by name, and those of
#: GPT-2 and SmolLM, where the merges alone give the same tokens as the split.
_SPLITS = (
    "gpt-2", "smollm", "llama3", "llama-v3", "llama-bpe", "smaug-bpe", "falcon3", "dbrx", "tekken",
    "qwen2", "deepseek-r1-qwen", "megrez", "gpt-4o", "llama4",
)  # fmt: skip
_TYPES_OF_FLOATS = ("F64", "F32", "F16", "BF16")
_SHOWN = 4
#: How many characters of a library's error are shown.
_LONGEST_REASON = 300


@dataclass(frozen=True)
class _Known:
    """An architecture that is read: transformers' class, tensors of its blocks besides those of
    every architecture, and numbers of blocks of models whose attention is scaled by a number that
    their files do not hold."""

    model: str
    more: tuple[str, ...] = ()
    scaled: tuple[int, ...] = ()


_ARCHITECTURES = {
    "llama": _Known("LlamaForCausalLM"),
    "qwen2": _Known("Qwen2ForCausalLM", ("attn_q.bias", "attn_k.bias", "attn_v.bias")),
    "qwen3": _Known("Qwen3ForCausalLM", _HEAD_NORMS),
    "gemma2": _Known("Gemma2ForCausalLM", _BEHIND, scaled=(46,)),
    "gemma3": _Known("Gemma3ForCausalLM", (*_HEAD_NORMS, *_BEHIND), scaled=(62,)),
}


def architecture(name: str, header: Header) -> str:
    """transformers' class for the file; UserError where the file cannot be read exactly: another
    architecture, a tensor or a setting without a known place, or no tokenizer."""
    known = _ARCHITECTURES.get(header.architecture)
    if known is None:
        raise UserError(
            f"model {name!r}: GGUF architecture {header.architecture!r} is not read; there are "
            f"{', '.join(_ARCHITECTURES)}. Give the model in safetensors"
        )
    inner = {*_INNER, *known.more}
    strange = [
        tensor
        for tensor in header.tensors
        if tensor not in _OUTER and not (_BLOCK.match(tensor) and _BLOCK.sub("", tensor) in inner)
    ]
    own = f"{header.architecture}."
    strange += [
        f"{key}: {value}"
        for key, value in header.settings.items()
        if key.startswith(own)
        and key.removeprefix(own) not in _SETTINGS
        and _NEUTRAL.get(key.removeprefix(own), "") != value
    ]
    if header.own("block_count") in known.scaled:
        strange.append(f"the attention's scale of a model of {header.own('block_count')} blocks")
    if strange:
        raise UserError(
            f"model {name!r}: transformers does not carry over {', '.join(strange[:_SHOWN])}"
            f"{', ...' if len(strange) > _SHOWN else ''} of this GGUF file, so the model would "
            "compute something else; give it in safetensors"
        )
    _refuse_tokenizer(name, header)
    return known.model


def _refuse_tokenizer(name: str, header: Header) -> None:
    if "tokenizer.ggml.tokens" not in header.settings:
        raise UserError(f"model {name!r}: this GGUF file holds no tokenizer; give one that does")
    kind = header.settings.get("tokenizer.ggml.model")
    split = header.settings.get("tokenizer.ggml.pre")
    if kind == "llama" or (kind == "gpt2" and split in _SPLITS):
        return
    raise UserError(
        f"model {name!r}: transformers does not build the tokenizer of this GGUF file (kind "
        f"{kind}, split {split}) as it was; give the model in safetensors"
    )


def packed_as(header: Header) -> tuple[str, int | None]:
    """The type that holds most of the weights, by GGUF's name, and its bits a weight without
    scales; None for a floating-point type."""
    from gguf import GGMLQuantizationType

    held: Counter[int] = Counter()
    for tensor in header.tensors.values():
        held[tensor.kind] += tensor.elements
    most = max(held, key=lambda kind: (held[kind], kind))
    known = {kind.value: kind.name for kind in GGMLQuantizationType}
    name = known.get(most, f"type {most}")
    digits = re.search(r"\d+", name)
    return name, None if name in _TYPES_OF_FLOATS or digits is None else int(digits[0])


def convert(name: str, files: Sequence[Path], folder: Path, dtype: str) -> Header:
    """Write the model as a safetensors folder with its tokenizer, chat template and end tokens;
    the weights as `dtype`. `files` is one GGUF file, or the shards or the consecutive pieces of
    one. UserErrors as `architecture` raises them, and where the file is damaged or what comes out
    is not what its header says."""
    file = _whole(files, folder)
    try:
        header = gguf_header.read([file])
        architecture(name, header)
        model, tokenizer = _loaded(name, file, header, dtype)
    finally:
        if file not in files:
            file.unlink()
    model.save_pretrained(folder, max_shard_size="1TB")
    # One file of settings, whether or not there is a chat template.
    tokenizer.save_pretrained(folder, save_jinja_files=False)
    _drop_foreign(folder, header.settings["tokenizer.ggml.tokens"])
    _refuse_start(name, header, tokenizer)
    mask = os.umask(0)
    os.umask(mask)
    # transformers lets nobody else read the weights, whatever the user's own rule is.
    for path in folder.iterdir():
        path.chmod(0o666 & ~mask)
    return header


def _loaded(name: str, file: Path, header: Header, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
        _compare(name, header, config)
        model, found = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            config=config,
            # Without this the weights stay packed, and cannot be saved.
            quantization_config=GgufConfig(dequantize=True),
            dtype=getattr(torch, dtype),
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except UserError:
        raise
    # A damaged file makes the libraries raise errors of every kind.
    except Exception as error:
        raise UserError(
            f"model {name!r}: {file.name} cannot be read as a GGUF file "
            f"({' '.join(str(error).split())[:_LONGEST_REASON] or type(error).__name__}); copy or "
            "download it again, or give the model in safetensors"
        ) from error
    refuse_unfit(name, found)
    return model, tokenizer


def _compare(name: str, header: Header, config: Any) -> None:
    """UserError where transformers' configuration says other than the file."""
    for key, told in _SETTINGS.items():
        value = header.own(key)
        if value is None:
            continue
        found = _told(config, told)
        if not (found == value or _near(found, value)):
            raise UserError(
                f"model {name!r}: this GGUF file has {key} {value}, and transformers made {told} "
                f"{found} of it; give the model in safetensors"
            )


def _told(config: Any, key: str) -> Any:
    if key == "rope_theta":
        parameters = config.rope_parameters
        return parameters.get("full_attention", parameters)["rope_theta"]
    if key == "head_dim" and getattr(config, key, None) is None:
        return config.hidden_size // config.num_attention_heads
    return getattr(config, key, None)


def _near(found: Any, value: Any) -> bool:
    numbers = all(isinstance(each, int | float) for each in (found, value))
    return numbers and math.isclose(found, value, rel_tol=1e-6)


def _refuse_start(name: str, header: Header, tokenizer: Any) -> None:
    """UserError where the tokenizer puts another start before a text than the file says."""
    wanted = header.settings.get("tokenizer.ggml.add_bos_token")
    if wanted is None:
        return
    ids = tokenizer("a")["input_ids"]
    if (ids[:1] == [tokenizer.bos_token_id]) is not bool(wanted):
        raise UserError(
            f"model {name!r}: this GGUF file says that a text "
            f"{'begins' if wanted else 'does not begin'} with a start token, and transformers' "
            "tokenizer of it does otherwise; give the model in safetensors"
        )


def _drop_foreign(folder: Path, tokens: int) -> None:
    """Take the tokens out of a saved tokenizer that are not among the `tokens` of the file: what
    transformers builds on GPT-2's tokenizer has GPT-2's end token besides its own."""
    whole = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    foreign = {each["content"] for each in whole["added_tokens"] if each["id"] >= tokens}
    if not foreign:
        return
    whole["added_tokens"] = [e for e in whole["added_tokens"] if e["content"] not in foreign]
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config = {k: v for k, v in config.items() if not (isinstance(v, str) and v in foreign)}
    for name, value in (("tokenizer.json", whole), ("tokenizer_config.json", config)):
        text = json.dumps(value, ensure_ascii=False, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def _whole(files: Sequence[Path], folder: Path) -> Path:
    """One GGUF file with all of the model, in `folder` where it has to be put together."""
    if len(files) == 1:
        return files[0]
    whole = folder / "whole.gguf"
    if all(map(is_gguf, files)):
        _join(files, whole)
    else:
        with open(whole, "wb") as target:
            for path in files:
                target.write(path.read_bytes())
    return whole


def _join(files: Sequence[Path], whole: Path) -> None:
    """Write the shards of a split GGUF file as one."""
    import gguf

    readers = [gguf.GGUFReader(path) for path in files]
    writer = gguf.GGUFWriter(whole, arch=readers[0].fields["general.architecture"].contents())
    for key, field in _fields(readers[0]).items():
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(key, field.contents(), field.types[0], sub_type=inner)
    for reader in readers:
        for tensor in reader.tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _fields(reader: Any) -> Mapping[str, Any]:
    """What a joined file keeps: not the reader's own entries, the name that the writer gives, nor
    how the file was split."""
    dropped = ("GGUF.", "split.", "general.architecture")
    return {key: field for key, field in reader.fields.items() if not key.startswith(dropped)}
