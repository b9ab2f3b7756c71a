"""`bf16`, `fp16`: weights of all linear layers of the blocks rounded to 16 bits, and computed with
in the model's own type."""

from typing import TYPE_CHECKING, Any

from pipeline.methods.part import Part
from pipeline.methods.plan import Refused
from pipeline.methods.quantizers.rounding import rounded_to

if TYPE_CHECKING:
    import torch


class Bfloat16(Part):
    """Sixteen bits, eight of them of the exponent.

    Sample:

        quantization: bf16
        corpus: reasoning
        levels: [whole]
    """

    label = "bfloat16"
    name = "bfloat16"

    def quantize(self, weight: "torch.Tensor", options: Any) -> "torch.Tensor":
        """The rounded weight, in its own type; Refused for one that is too large for 16 bits."""
        try:
            return rounded_to(weight, self.name)
        except ValueError as error:
            raise Refused(str(error)) from error


class Float16(Bfloat16):
    """Sixteen bits, five of them of the exponent.

    Sample:

        quantization: fp16
        corpus: reasoning
        levels: [whole]
    """

    label = "float16"
    name = "float16"
