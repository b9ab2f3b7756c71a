"""`models`: which language models the study prunes."""

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from pipeline.config.base import Section, check_home
from pipeline.errors import UserError

#: A repository on the Hub, by the Hub's own rules for names.
_WORD = r"\w+([.-]\w+)*"
HUB_ID = rf"(?a:({_WORD}/)?(?=.{{1,96}}$){_WORD})(?<!\.git)"
#: A device in `max_memory`, an amount of memory on it, and the device of a model.
PLACE = r"^(cpu|\d{1,3})$"
SIZE = r"^\d{1,9}(\.\d{1,9})?[KMGT]i?B$"
DEVICE = r"^(cpu|cuda(:\d{1,3})?)$"
Place = Annotated[str, StringConstraints(pattern=PLACE)]
Size = Annotated[str, StringConstraints(pattern=SIZE)]


class Model(Section):
    """One model.

    `source` is `builtin:NAME` for a model that ships with the project, the path of a local folder
    in Hugging Face format (starting with `/`, `~`, or, from the configuration file's folder, `./`
    or `../`), or a Hub id.
    """

    source: str = Field(min_length=1)
    revision: str | None = Field(
        None, description="Hub branch, tag or commit; resolved to a commit"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
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
        if source_kind(source) == "hub" and not re.fullmatch(HUB_ID, source):
            raise UserError(
                f"{source!r} is not a Hub id, which is NAME or OWNER/NAME; a model of the project "
                "is builtin:NAME, and a local folder starts with /, ~, ./ or ../"
            )
        return source

    @property
    def gpus(self) -> int:
        """GPUs that the model lies on."""
        if self.max_memory:
            return sum(place.isdigit() for place in self.max_memory)
        return int(self.device.startswith("cuda"))

    @property
    def kind(self) -> Literal["builtin", "path", "hub"]:
        """Where the model comes from."""
        return source_kind(self.source)


def source_kind(source: str) -> Literal["builtin", "path", "hub"]:
    """The kind of a source: builtin by its prefix, path if it looks like one, else hub."""
    if source.startswith("builtin:"):
        return "builtin"
    return "path" if source.startswith(("/", "./", "../", "~")) else "hub"
