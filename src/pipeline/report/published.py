"""Published figures that the report sets its own beside."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Share of the neurons that carry 80 % of the activations: of one block, and of the model."""

    model: str
    activation: str
    block: float
    whole: float
    source: str


#: PowerInfer, section 3.1: profiled on about a million tokens of Wikipedia.
SPREADS = (
    Spread("OPT-30B", "ReLU", 0.26, 0.17, "arXiv 2312.12456"),
    Spread("LLaMA2-70B", "ReGLU", 0.43, 0.26, "arXiv 2312.12456"),
    Spread("LLaMA2-70B", "SwiGLU", 0.69, 0.75, "arXiv 2312.12456"),
)
#: The same paper: the top fifth of neurons on one text and on others have more than this share in
#: common.
TOP_FIFTH_SHARED = 0.9
