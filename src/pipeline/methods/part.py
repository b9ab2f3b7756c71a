"""What every part of a method states about itself, for fitting, planning and the page."""

import inspect
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.base import Section
from pipeline.config.roles import METHOD, Role


class NoOptions(Section):
    """A part without options."""


@dataclass(frozen=True)
class FittingCost:
    """What fitting a part takes, beyond loading the model and measuring what a level achieves.

    About `tokens` go through the model, fewer where the calibration text is short; the whole text
    goes through it `passes` times; `trained` sequences go through it with gradients, and through
    the original model as well. `copies` is how many times the model's weights are in memory at
    most.
    """

    tokens: float = 0
    passes: float = 0
    trained: int = 0
    copies: int = 1

    @staticmethod
    def of_all(costs: Iterable["FittingCost"]) -> "FittingCost":
        """The cost of parts that are fitted one after the other."""
        each = list(costs)
        return FittingCost(
            sum(cost.tokens for cost in each),
            sum(cost.passes for cost in each),
            sum(cost.trained for cost in each),
            max((cost.copies for cost in each), default=1),
        )


class Part:
    """Base of weight pruning, quantizations, sparsifiers and compensations.

    The docstring of every registered part ends with `Sample:` and an indented YAML method that has
    the part; `sample` returns that.
    """

    #: What figures and sentences call the part.
    label: str
    #: The part's role in a study: arm, control or method; see `config.roles`.
    role: Role = METHOD
    Options: type[Section] = NoOptions
    #: True where the result depends on the seed.
    seeded = False
    #: The loss that training minimises, with its unit; empty where nothing is trained.
    objective = ""
    #: Options that name a corpus, and what is read of it: its profile or its sequences.
    reads: Mapping[str, str] = {}
    #: Option that names another method, whose plan at the same level this one is fitted on.
    follows: str | None = None

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """What fitting the part takes with these options, an instance of `Options`."""
        return FittingCost()

    @classmethod
    def sample(cls) -> str:
        """A method with this part, as YAML; empty where the docstring holds none."""
        return textwrap.dedent(inspect.cleandoc(cls.__doc__ or "").partition("Sample:\n\n")[2])
