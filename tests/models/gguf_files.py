"""GGUF files written by the rules of llama.cpp's converter, for models of transformers."""

import gguf
import numpy as np

#: transformers' class -> GGUF's architecture.
ARCHITECTURES = {
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "Gemma2ForCausalLM": gguf.MODEL_ARCH.GEMMA2,
    "Gemma3ForCausalLM": gguf.MODEL_ARCH.GEMMA3,
}
SPECIAL = ["<bos>", "<eos>", "<unk>", "<pad>", "<mask>"]
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
#: The 256 bytes as GPT-2 spells them, a merge, and a word of sentencepiece.
_BYTES = sorted(
    {chr(n) for n in [*range(33, 127), *range(161, 173), *range(174, 256)]}
    | {chr(256 + n) for n in range(68)}
)
WORDS = [*SPECIAL, *_BYTES, "th", "Ġth"]
PIECES = [*SPECIAL, *(f"<0x{n:02X}>" for n in range(256)), "▁", "t", "h", "th", "▁th", "e"]


def words(architecture):
    """The tokens of the file's vocabulary."""
    return PIECES if architecture.startswith("Gemma") else WORDS


def write(path, model, shards=1, kind=gguf.GGMLQuantizationType.F32, changes=None, more=None):
    """Write a model with a small tokenizer to a GGUF file, or to several shards, whose paths are
    returned. Matrices are kept as `kind`; `changes` are settings that replace those of the model,
    by their names without the architecture, and `more` are tensors besides those of the model."""
    architecture = ARCHITECTURES[type(model).__name__]
    writer = gguf.GGUFWriter(
        path, gguf.MODEL_ARCH_NAMES[architecture], split_max_tensors=_each(model, shards)
    )
    for name, value in (_settings(model) | (changes or {})).items():
        if value is not None:
            _add(writer, f"{writer.arch}.{name}", value)
    _add_tokenizer(writer, type(model).__name__)
    for name, values in {**_tensors(model, architecture), **(more or {})}.items():
        packed = values.ndim == 2 and kind != gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(values, kind) if packed else values
        writer.add_tensor(name, data, raw_dtype=kind if packed else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(path.parent.glob(f"{path.stem}*.gguf"))


def _each(model, shards):
    tensors = len(list(model.parameters()))
    return 0 if shards == 1 else -(-tensors // shards)


def _settings(model):
    config = model.config
    theta = config.rope_parameters
    values = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(theta.get("full_attention", theta)["rope_theta"]),
        "vocab_size": config.vocab_size,
    }
    if type(model).__name__ == "LlamaForCausalLM":
        values["rope.dimension_count"] = config.head_dim
    if type(model).__name__.startswith(("Gemma", "Qwen3")):
        values["attention.key_length"] = values["attention.value_length"] = config.head_dim
    if type(model).__name__.startswith("Gemma"):
        values["attention.sliding_window"] = config.sliding_window
    if type(model).__name__ == "Gemma2ForCausalLM":
        for name in ("attn_logit_softcapping", "final_logit_softcapping"):
            values[name] = float(getattr(config, name))
    return values


def _add(writer, key, value):
    add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    add[type(value)](key, value)


def _add_tokenizer(writer, architecture):
    tokens = words(architecture)
    sentencepiece = tokens is PIECES
    writer.add_tokenizer_model("llama" if sentencepiece else "gpt2")
    writer.add_tokenizer_pre("default" if sentencepiece else "gpt-2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * len(SPECIAL)
    writer.add_token_types([*kinds, *[gguf.TokenType.NORMAL] * (len(tokens) - len(SPECIAL))])
    if sentencepiece:
        writer.add_token_scores([-float(n) for n in range(len(tokens))])
    else:
        writer.add_token_merges(["t h", "Ġ th"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_pad_token_id(3)
    writer.add_add_bos_token(sentencepiece)
    writer.add_chat_template(TEMPLATE)


def _tensors(model, architecture):
    """GGUF's names -> values: query and key rows of a Llama in pairs, and Gemma's norms, which
    multiply by one more than their weights, with the one added."""
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    found = {}
    for name, parameter in model.named_parameters():
        base, _, ending = name.rpartition(".")
        values = parameter.detach().float().numpy().copy()
        if architecture is gguf.MODEL_ARCH.LLAMA and base.endswith(("q_proj", "k_proj")):
            values = _paired(values, model.config.head_dim)
        if type(model).__name__.startswith("Gemma") and base.endswith("norm"):
            values = values + 1
        found[f"{names.get_name(base)}.{ending}"] = np.ascontiguousarray(values)
    return found


def _paired(rows, width):
    """Rows of every head, its first half and its second in turns."""
    heads = rows.reshape(-1, 2, width // 2, rows.shape[-1])
    return heads.swapaxes(1, 2).reshape(rows.shape)
