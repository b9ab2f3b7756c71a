"""`classification`: policies that divide neurons into hot and cold."""

from typing import Any, Literal

from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.registry import POLICIES


class Classification(Section):
    """One hot/cold policy.

    Hot is, for `coverage`, `cett`, `contribution` and `magnitude`, the smallest set that carries
    `share` of all activations, of those above the CETT threshold, of what neurons write, and of
    |h|, respectively; for `budget` the most active `share` of the neurons; for `stability` what is
    hot by coverage on the corpus `other`, too. For `perplexity` as many neurons are cold, to 1/512
    of all, as can be removed at the cost of a `rise` of perplexity on the corpus `other`; where
    loss falls and rises again, one crossing is found.
    """

    policy: str
    share: float | None = Field(
        None, gt=0, lt=1, description="share that the hot set carries, or for `budget` is"
    )
    scope: Literal["layer", "model"] = Field(
        "layer", description="rank neurons within each layer, or over the whole model"
    )
    other: str | None = Field(
        None, description="entry of `calibration` that the policy reads besides the profile's"
    )
    rise: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="relative rise of perplexity that removing the cold set may cost",
    )

    @field_validator("policy")
    @classmethod
    def _known_policy(cls, name: str) -> str:
        return POLICIES.check(name)

    def number(self, name: str) -> float:
        """An option that the policy takes; ValueError when it was not given."""
        value: float | None = getattr(self, name)
        if value is None:
            raise ValueError(f"{self.policy} needs {name}")
        return value

    def key(self) -> dict[str, Any]:
        """What the classification depends on."""
        return self.model_dump()
