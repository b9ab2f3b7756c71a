"""model.json: the facts about a model, resolved once; everything downstream depends on it."""

from pipeline.tables.base import Document

MODEL = Document(
    "model",
    3,
    "One resolved model.",
    {
        "name": "name in the configuration",
        "kind": "builtin, path, gguf, package or hub",
        "source": "built-in name, Hub id or file of a package; empty for a local folder or file, "
        "whose path does not count",
        "sha256": "SHA-256 of the GGUF file that the model was made from, or null",
        "quantization": "type that held most of that file's weights, by GGUF's name, or null",
        "bits": "bits of a weight of that type, without its scales, or null",
        "commit": "Hub commit, or null",
        "weights_digest": "digest of the weight files",
        "config_digest": "digest of config.json",
        "tokenizer_digest": "digest of the tokenizer files",
        "architecture": "class named in config.json",
        "layers": "number of transformer blocks",
        "d_model": "width of the residual stream",
        "d_ff": "FFN neurons in a block",
        "gated": "true when the FFN has a gate projection",
        "activation": "activation function by its Hugging Face name",
        "exact_zeros": "true when the activation function gives exact zeros (ReLU and kin)",
        "parameters": "number of parameters",
        "ffn_weights": "FFN weight elements in all blocks, biases left out",
        "linear_weights": "weight elements of all linear layers in all blocks",
        "vocabulary": "number of tokens",
        "positions": "tokens that a sequence may have, or null where the model sets no limit",
        "dtype": "type the weights are loaded as",
    },
)
