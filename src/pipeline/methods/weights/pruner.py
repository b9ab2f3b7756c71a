"""The base of all weight pruning."""

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.part import FittingCost, Part
from pipeline.methods.plan import Refused
from pipeline.methods.weights.patterns import CHANNELS, Pattern
from pipeline.models.views import linear_layers, matrix
from pipeline.numerics.roots import roots

if TYPE_CHECKING:
    import torch

    from pipeline.models.views import FFNView, ModelView

#: Most tokens that matrices are pruned on.
TOKENS = 131_072


class Share(Section):
    """How much is removed."""

    share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="share removed, for a method with a sparsifier, to which the levels then "
        "belong; null without one",
    )


class Patterns(Share):
    """Where zeros may lie."""

    pattern: Literal["unstructured", "2:4", "4:8", "channels"] = Field(
        "unstructured",
        description="`2:4`, `4:8`: two of every four, or four of every eight, consecutive inputs "
        "are kept, at a share of 0.5; `channels`: whole FFN neurons, the same share of every layer",
    )


class Read:
    """What a linear layer reads, (tokens, inputs) of every batch."""

    def __init__(self, values: "tuple[torch.Tensor, ...]") -> None:
        self.values = values
        self.tokens = max(1, sum(len(x) for x in values))

    @cached_property
    def second_moment(self) -> "torch.Tensor":
        """Mean of x x^T, (inputs, inputs) float64; products of a batch are float32."""
        total: torch.Tensor = sum((x.float().T @ x.float()).double() for x in self.values)
        return total / self.tokens

    @cached_property
    def norms(self) -> "torch.Tensor":
        """Root mean square of every input, (inputs,) float64."""
        total: torch.Tensor = sum(x.double().square().sum(0) for x in self.values)
        return roots(total / self.tokens)


class Pruner(Part):
    """Base of all weight pruning; its options have a `share` and a `pattern`. `changes` is true
    where weights that are kept take other values. `weighs_inputs` is false where text does not
    matter, so that the inputs of layers are not collected."""

    Options: type[Section] = Patterns
    changes = False
    weighs_inputs = True

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """Every block runs twice: once for its layers' inputs, and once for its outputs."""
        return FittingCost(tokens=2 * TOKENS if cls.weighs_inputs else 0)

    def check(self, layout: "ModelView", options: Any) -> None:
        """Raise Refused where rows cannot be cut into groups of the pattern."""
        if options.pattern == CHANNELS or (own := Pattern.parse(options.pattern)) is None:
            return
        for layer, block in enumerate(layout.blocks):
            for name, module in linear_layers(block):
                inputs = matrix(module).shape[1]
                if inputs % own.of:
                    raise Refused(
                        f"the pattern {options.pattern} needs rows of a multiple of {own.of} "
                        f"inputs; {name} of block {layer} has {inputs}"
                    )

    def prune(
        self, weight: "torch.Tensor", read: Read, share: float, options: Any
    ) -> "torch.Tensor":
        """The new weight, (outputs, inputs); removed ones are exactly 0."""
        raise NotImplementedError

    def scores(self, ffn: "FFNView", read: Read) -> "torch.Tensor":
        """Scores of the neurons, (d_ff,); the lowest are removed first. `read` is that of the down
        projection."""
        raise NotImplementedError
