"""`spon`: learned vectors, one for each site and the same at every token, that a linear layer reads
beside its sparse input: y = W s(x) + W alpha (SPON, arXiv 2512.12744). W alpha becomes a bias.

Everything else is frozen. The loss is KL(original model || this model) of the next token's
distribution, mean over the tokens that another follows; the original is unpruned and unquantized.
Alpha lives in the input space of the layer, is added after the mask and starts at 0; thresholds
stay as they were fitted.

`spon_dense` is the control that separates repair from mere training on the text: the same vectors,
fitted on the dense model by its cross-entropy on the same text, since a loss against the original's
distribution would be at its minimum from the start.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.config.base import Name, Section
from pipeline.config.roles import CONTROL
from pipeline.errors import UserError
from pipeline.methods.compensation.sites import Repair, Sites, biases, modules
from pipeline.methods.descent import Schedule, train
from pipeline.methods.part import FittingCost, Part
from pipeline.methods.plan import Arrays, Refused
from pipeline.methods.sparsifiers.base import Curve
from pipeline.models.batches import Batch, batches
from pipeline.models.head import hidden_states, logits, pieces, summed
from pipeline.models.loss import text_loss
from pipeline.models.memory import trained_bytes
from pipeline.models.size import of_loaded
from pipeline.models.views import matrix
from pipeline.store.digest import of_value

if TYPE_CHECKING:
    import torch


#: As many logits as scoring a token takes: the student's, the original's, and gradients.
_COPIES = 3
#: Learning rates by site, the best of those that benchmarks/spon.py tried on two models.
RATES: Mapping[Sites, float] = {"down": 0.003, "all": 0.01}


class Options(Section):
    """Where vectors are learned, and how: AdamW with a constant learning rate."""

    sites: Sites = Field(
        "down",
        description="`down`: the down projection of every layer, the paper's choice; `all`: all "
        "linear layers",
    )
    corpus: Name | None = Field(
        None, description="corpus to learn on; null for the one on which thresholds are fitted"
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="learning rate; null for 0.003 at `down` and 0.01 at `all`, the best of a "
        "sweep (benchmarks/spon.py)",
    )
    steps: int = Field(300, ge=1, description="most optimiser steps")
    batch: int = Field(8, ge=1, description="sequences per step")
    every: int = Field(25, ge=1, description="steps between measurements on held-out text")
    patience: int = Field(
        4, ge=1, description="measurements without improvement after which training stops"
    )


class Spon(Part):
    """Vectors learned against the original model.

    Sample:

        sparsifier: teal
        compensation: {name: spon, sites: down, steps: 300}
        corpus: reasoning
        levels: [0.5]
    """

    label = "SPON"
    objective = "KL divergence from the original model's next token, nats a token"
    Options: type[Section] = Options
    #: The order in which the text is trained on is drawn.
    seeded = True
    reads: Mapping[str, str] = {"corpus": "sequences"}

    @classmethod
    def cost(cls, options: Any) -> FittingCost:
        """The cost of all steps, though training may stop earlier, with the student, the original
        and gradients in memory."""
        return FittingCost(trained=options.steps * options.batch, copies=3)

    def check(self, parts: Mapping[str, Any]) -> None:
        """Refused where nothing was left out."""
        if not {"weights", "quantization", "sparsifier"} & set(parts):
            raise Refused(
                "nothing is left out, so the loss is at its minimum from the start; the control of "
                "the dense model is spon_dense"
            )

    @staticmethod
    def scored(batch: Batch) -> "torch.Tensor":
        """The tokens behind which predictions enter the loss, (sequences, length - 1) bool: those
        that another follows."""
        # Models were not trained to predict anything after a text's end, and they differ most
        # there.
        return batch.attention[:, 1:].bool()

    def total(self, training: "_Training", batch: Batch) -> "torch.Tensor":
        """Sum over the scored tokens of a batch, in nats."""
        scored, student, teacher = self.scored(batch), training.student, training.original
        mine, whole = training.rows(student, batch, scored), training.told(batch, scored)
        return summed(
            lambda part: distance(logits(student, mine[part]), logits(teacher, whole[part])),
            pieces(len(mine), student, _COPIES),
        )

    def losses(self, training: "_Training", items: Sequence[int]) -> "Iterator[torch.Tensor]":
        """Mean over the scored tokens of the given sequences, in nats, in parts that are added
        up."""
        parts = training.batches([training.sequences[item] for item in items])
        tokens = sum(int(self.scored(batch).sum()) for batch in parts)
        for batch in parts:
            yield self.total(training, batch) / tokens

    def held_out(self, training: "_Training") -> float:
        """The loss over the held-out text, a mean over its tokens in nats."""
        import torch

        total, tokens = 0.0, 0
        for batch in training.held_out:
            with torch.no_grad():
                total += float(self.total(training, batch))
            tokens += int(self.scored(batch).sum())
        if not tokens:
            raise UserError(
                "the held-out text has no token that is followed by another; give more text"
            )
        return total / tokens

    def fit(self, repair: Repair, options: Any) -> tuple[Arrays, Curve]:
        """The biases, and the loss curve."""
        evidence = repair.evidence
        training = _Training(repair, options.batch)
        model = evidence.model
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        schedule = Schedule(
            options.learning_rate or RATES[options.sites],
            options.steps,
            options.batch,
            options.every,
            options.patience,
        )
        text = [list(map(int, sequence)) for sequence in evidence.sequences]
        with ExitStack() as ends:
            vectors = {}
            for place, module in modules(evidence.layout, options.sites).items():
                vectors[place] = _zeros(module)
                hook = module.register_forward_hook(_adding(vectors[place], matrix(module)))
                ends.callback(hook.remove)
            ends.enter_context(repair.forward.watching(model))
            best, curve = train(
                vectors,
                lambda items: self.losses(training, items),
                lambda: self.held_out(training),
                len(training.sequences),
                schedule,
                evidence.seed,
                evidence.checkpoint,
                "compensation",
                of_value([type(self).__name__, options.model_dump(), evidence.fingerprint, text]),
            )
        return biases(best, evidence.layout), curve


class SponDense(Spon):
    """Vectors for the dense model, learned on the text itself.

    Sample:

        compensation: spon_dense
        corpus: reasoning
        levels: [whole]
    """

    label = "SPON of the dense model"
    objective = "cross-entropy of the next token, nats a token"
    role = CONTROL

    def check(self, parts: Mapping[str, Any]) -> None:
        """Refused beside another part."""
        others = sorted(set(parts) - {"compensation"})
        if others:
            raise Refused(f"the control is of the dense model; there is also {', '.join(others)}")

    @staticmethod
    def scored(batch: Batch) -> "torch.Tensor":
        """The tokens behind which predictions enter the loss, (sequences, length - 1) bool: those
        before one that counts."""
        return batch.counted[:, 1:]

    def total(self, training: "_Training", batch: Batch) -> "torch.Tensor":
        """Cross-entropy of the next token, in nats, summed over tokens that count."""
        import torch

        scored, student = self.scored(batch), training.student
        mine, wanted = training.rows(student, batch, scored), batch.tokens[:, 1:][scored]

        def piece(part: slice) -> "torch.Tensor":
            told = _precise(logits(student, mine[part]))
            return torch.nn.functional.cross_entropy(told, wanted[part], reduction="sum")

        return summed(piece, pieces(len(mine), student, _COPIES))

    def held_out(self, training: "_Training") -> float:
        """The loss over the held-out text, a mean over its tokens in nats."""
        found = text_loss(training.repair.evidence.model, training.held_out)
        if found is None:
            raise UserError("the held-out text has no token to predict; give more text")
        return found


class _Training:
    """The text that vectors are learned on, and what the student and the original model make of it.

    Batches are as large as a step's where they fit into the room of a batch, with what gradients
    need.
    """

    def __init__(self, repair: Repair, batch: int) -> None:
        self.repair = repair
        self.sequences = repair.evidence.training
        self._room = replace(repair.evidence.room, sequences=batch)
        self._size = of_loaded(self.student)

    @property
    def student(self) -> Any:
        """The model that vectors are learned for."""
        return self.repair.evidence.model

    @property
    def original(self) -> Any:
        """The original model."""
        return self.repair.original

    @cached_property
    def held_out(self) -> list[Batch]:
        """The held-out text in batches."""
        return self.batches(self.repair.evidence.held_out)

    def batches(self, sequences: Sequence[Sequence[int]]) -> list[Batch]:
        """Sequences in batches."""
        device = str(next(self.student.parameters()).device)

        def fits(length: int) -> int:
            return self._room.of(trained_bytes(self._size, length))

        return list(batches(sequences, fits, self.repair.evidence.special, device))

    @staticmethod
    def rows(model: Any, batch: Batch, scored: "torch.Tensor") -> "torch.Tensor":
        """A model's last hidden states at the scored tokens, (tokens, d_model)."""
        return hidden_states(model, batch.tokens, batch.attention)[:, :-1][scored]

    def told(self, batch: Batch, scored: "torch.Tensor") -> "torch.Tensor":
        """The same of the original model, without gradients."""
        import torch

        with torch.no_grad():
            return self.rows(self.original, batch, scored)


def distance(student: "torch.Tensor", teacher: "torch.Tensor") -> Any:
    """KL(teacher || student) in nats, summed over tokens; logits are (tokens, vocabulary)."""
    import torch

    told, whole = (_precise(each).log_softmax(-1) for each in (student, teacher))
    return torch.nn.functional.kl_div(told, whole, log_target=True, reduction="sum")


def _zeros(module: "torch.nn.Module") -> "torch.Tensor":
    """A vector of zeros for a layer's inputs, in float32 or longer: small steps of an optimiser are
    lost in 16 bits."""
    weight = matrix(module).detach()
    return _precise(weight.new_zeros(weight.shape[1]))


def _precise(values: "torch.Tensor") -> "torch.Tensor":
    """Values in float32, or in a longer type as they are."""
    import torch

    return values.to(torch.promote_types(values.dtype, torch.float32))


def _adding(alpha: "torch.Tensor", weight: "torch.Tensor") -> Any:
    """Add W alpha to a layer's output, as the bias will: added to its input, a small alpha would be
    lost in 16 bits."""
    whole = weight.detach()
    return lambda _module, _given, y: y + (whole.to(alpha.dtype) @ alpha).to(y.dtype)
