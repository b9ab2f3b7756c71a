"""`classification`: policies that divide neurons into hot and cold."""

from typing import Any, Literal

from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.registry import POLICIES


class Classification(Section):
    """One hot/cold policy: `coverage` (smallest set carrying `share` of all activations) or
    `budget` (the most active `share` of the neurons)."""

    policy: str
    share: float = Field(gt=0, lt=1)
    scope: Literal["model", "layer"] = Field(
        "model", description="rank all neurons of the model together, or each layer's alone"
    )

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, name: str) -> str:
        return POLICIES.check(name)

    def key(self) -> dict[str, Any]:
        """What the classification depends on."""
        return self.model_dump()
