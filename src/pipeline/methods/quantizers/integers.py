"""`int8`, `int4`: weights of all linear layers of the blocks as whole numbers, group by group, and
everything else as it is (weight-only, round to nearest, symmetric)."""

from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.config.base import Section
from pipeline.methods.part import Part
from pipeline.methods.quantizers.rounding import quantized, restored

if TYPE_CHECKING:
    import torch


class Options(Section):
    """How many weights share a scale."""

    group: int | None = Field(
        32, ge=1, description="inputs of a row that share a scale; null for the whole row"
    )


class Integers(Part):
    """Base of the quantizations to whole numbers."""

    Options = Options
    bits = 8

    def quantize(self, weight: "torch.Tensor", options: Any) -> "torch.Tensor":
        """The weight that the quantized numbers stand for, in its own type; zeros stay zeros."""
        codes, scales = quantized(weight, self.bits, options.group)
        return restored(codes, scales, options.group, weight.dtype)


class Int8(Integers):
    """Whole numbers of eight bits.

    Sample:

        quantization: int8
        corpus: reasoning
        levels: [whole]
    """

    label = "int8"


class Int4(Integers):
    """Whole numbers of four bits.

    Sample:

        quantization: {name: int4, group: 32}
        corpus: reasoning
        levels: [whole]
    """

    label = "int4"
    bits = 4
