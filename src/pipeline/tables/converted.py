"""converted.json: what a model's safetensors folder was made of."""

from pipeline.tables.base import Document

CONVERTED = Document(
    "converted",
    1,
    "A GGUF file that was converted into the safetensors folder beside this document.",
    {
        "kind": "gguf or package",
        "source": "the package's file as the configuration names it; empty for a local file, whose "
        "path does not count",
        "sha256": "SHA-256 of the GGUF file, or of its shards or pieces one after the other",
        "gguf_architecture": "GGUF's name of the architecture",
        "quantization": "type that held most of the weights, by GGUF's name",
        "bits": "bits of a weight of that type, without its scales; null for a floating-point type",
        "dtype": "type that the weights were converted to",
        "files": "name -> digest of the folder's other files; of one above 64 MiB, its size",
    },
)
