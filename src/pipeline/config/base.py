"""The base of all configuration sections: closed, immutable, and checked when it is read."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from pipeline.errors import UserError


class Section(BaseModel):
    """A section that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


SHA256 = r"^[0-9a-fA-F]{64}$"
#: Names become folder names and wildcards.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$", max_length=64)]

# Bounds are far above what a study needs, and below what a plan, a table of whole numbers or a
# machine's memory can hold.

#: Jobs that one stage, for one model or condition, is divided among.
Shards = Annotated[int, Field(ge=1, le=1000)]
#: Sequences or items in one forward pass.
BatchSize = Annotated[int, Field(ge=1, le=65_536)]
#: Megabytes that the sequences in one forward pass may take.
BatchMemory = Annotated[int, Field(ge=50, le=10_000_000)]
#: Seeds that random number generators accept.
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]


def check_home(path: str) -> None:
    """UserError where a path starts with `~NAME` and there is no such user, or no home at all."""
    try:
        Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(f"{path!r}: ~ stands for no home here; write the path in full") from error
