"""`bf16`, `fp16`: weights of all linear layers of the blocks rounded to 16 bits, and computed with
in the model's own type."""

from typing import TYPE_CHECKING, Any

from pipeline.methods.quantizers.rounding import rounded_to
from pipeline.methods.sparsifier import NoOptions

if TYPE_CHECKING:
    import torch


class Bfloat16:
    """Eight bits of exponent."""

    Options = NoOptions
    reads: dict[str, str] = {}  # noqa: RUF012 - never changed
    name = "bfloat16"

    def quantize(self, weight: "torch.Tensor", options: Any) -> "torch.Tensor":
        """The rounded weight, in its own type."""
        return rounded_to(weight, self.name)


class Float16(Bfloat16):
    """Five bits of exponent; ValueError for a weight that is too large for them."""

    name = "float16"
