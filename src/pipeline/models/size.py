"""How large a model is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.models.views import view

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Size:
    """A model's `parameters`, `layers`, FFN neurons per layer (`width`), number of known tokens,
    width of the residual stream, and numbers that a layer keeps of a token to write the next
    (`cache`: its key and value); `dtype` is the type of its numbers where the configuration says
    `auto`."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    d_model: int
    cache: int
    dtype: str = "float32"

    @property
    def neurons(self) -> int:
        """FFN neurons of all layers."""
        return self.layers * self.width

    def bytes(self, dtype: str) -> int:
        """Bytes of the weights once loaded."""
        return self.parameters * self.number(dtype)

    def number(self, dtype: str) -> int:
        """Bytes of a number once loaded."""
        return _WIDTHS[self.dtype if dtype == "auto" else dtype]


def of_record(record: Mapping[str, Any]) -> Size:
    """The size by the body of a model.json, with as many keys and values as a model has at most,
    since it does not tell them."""
    return Size(
        record["parameters"],
        record["layers"],
        record["d_ff"],
        record["vocabulary"],
        record["d_model"],
        2 * record["d_model"],
        record["dtype"],
    )


def of_loaded(model: Any) -> Size:
    """The size of a loaded model, by its configuration, which pruning does not change, or by its
    modules where that does not say."""
    parameters = sum(each.numel() for each in model.parameters())
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    found = told(model.config.to_dict(), parameters, dtype)
    if found is not None and found.vocabulary and found.d_model:
        return found
    ffns, vocabulary = view(model).ffns, model.get_output_embeddings().weight.shape[0]
    d_model = ffns[0].down.out_features
    return Size(parameters, len(ffns), ffns[0].d_ff, vocabulary, d_model, 2 * d_model, dtype)


def told(facts: Mapping[str, Any], elements: int, dtype: str) -> Size | None:
    """The size by the keys of config.json; None where they do not say."""

    def count(*names: str) -> int:
        given = (facts.get(name) for name in names)
        return next((n for n in given if type(n) is int and n > 0), 0)

    layers = count("num_hidden_layers", "n_layer")
    width = count("intermediate_size", "ffn_dim", "n_inner") or 4 * count("n_embd")
    if not elements or not layers or not width:
        return None
    known = dtype if dtype in _WIDTHS else "float32"
    d_model = count("hidden_size", "n_embd")
    heads = count("num_attention_heads", "n_head") or 1
    cached = count("num_key_value_heads") or heads
    cache = 2 * cached * (count("head_dim") or d_model // heads)
    return Size(elements, layers, width, count("vocab_size"), d_model, cache, known)
