"""The model behind the harness's interface, with what the harness does not do itself.

Written answers: the harness ends a batch when all its sequences have written one and the same stop
text; here each ends by itself. Likelihoods: the harness makes the logits of every token of a batch,
and pads without an attention mask; here only scored tokens get logits, piece by piece, and a text
starts with one start token where the tokenizer puts one of its own before it. Prompts: the harness
cuts what is too long for the model, and asks of the first prompt of a batch alone whether it brings
a start token; here nothing is cut, and each is asked. Scores: the harness takes softmax and sums in
the model's type, which rounds a text's likelihood to whole nats in 16 bits; here both are float32.
Batches: the harness counts sequences; here a batch also stays within a bound of memory, and one
that a GPU does not hold is divided.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.evaluation.generation import Scores, StopTexts, Written, greedy
from pipeline.models.forward import Forward
from pipeline.models.head import hidden_states, scored
from pipeline.models.lengths import positions
from pipeline.models.memory import Halving, Room, divided, read_bytes, written_bytes
from pipeline.models.size import of_loaded
from pipeline.models.tokens import encode

if TYPE_CHECKING:
    import torch

#: Tokens that a sequence may have where the model sets no limit; the harness wants a number.
_NO_LIMIT = 2**31


class _Asked(NamedTuple):
    """What one sequence is read for: its tokens, of which `context` come before the first that is
    scored, and the requests' places with their scored tokens, which are the last ones."""

    read: tuple[int, ...]
    context: int
    requests: list[tuple[int, list[int]]]


def language_model(
    model: Any, tokenizer: Any, room: Room, forward: Forward, halving: Halving
) -> Any:
    """An HFLM that tells `forward` which sequences of a batch have ended, how much of them is
    context, and whether they are texts.

    A function, since the base class loads torch when it is imported.
    """
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import LogitsProcessorList, StoppingCriteriaList

    limit, size = positions(model.config), of_loaded(model)

    class LanguageModel(HFLM):
        """HFLM, greedy, with stop texts that end single sequences and masks over padding."""

        ended: "torch.Tensor | None" = None
        _prompts: Sequence[str] = ()

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            #: Prompt -> what was recorded of the last answer to it.
            self.written: dict[str, Written] = {}

        def _model_generate(
            self, context: "torch.Tensor", max_length: int, stop: list[str], **options: Any
        ) -> "torch.Tensor":
            stops = StopTexts(self.tokenizer, stop, context.shape[1])
            self.ended = forward.contexts = None
            scores = Scores(lambda: forward.running)

            def criterion(tokens: "torch.Tensor", scores: Any, **_: Any) -> "torch.Tensor":
                self.ended = stops(tokens)
                return self.ended

            with greedy(self.model, self.tokenizer, max_length) as settings:
                found = self.model.generate(
                    input_ids=context,
                    attention_mask=options["attention_mask"],
                    generation_config=settings,
                    stopping_criteria=StoppingCriteriaList([criterion]),
                    logits_processor=LogitsProcessorList([scores]),
                )
            self.written.update(zip(self._prompts, scores.written(), strict=True))
            return found

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            lengths = [len(self.tok_encode(request.args[0])) for request in requests]
            # In the harness's order, so that it keeps the batches.
            order = sorted(range(len(requests)), key=lambda n: (-lengths[n], requests[n].args[0]))
            longest = max((request.args[1]["max_gen_toks"] for request in requests), default=0)

            def fits(place: int) -> int:
                width = self.model.dtype.itemsize
                return room.of(written_bytes(size, lengths[place], longest, width))

            def write(places: Sequence[int]) -> list[str]:
                found: list[str] = super(LanguageModel, self).generate_until(
                    [requests[place] for place in places], disable_tqdm=True
                )
                return found

            answers = dict(zip(order, _in_batches(order, fits, write, halving), strict=True))
            return [answers[place] for place in range(len(requests))]

        def tok_encode(
            self, string: str, add_special_tokens: bool | None = None, **_: Any
        ) -> list[int]:
            special = self.add_bos_token if add_special_tokens is None else add_special_tokens
            return encode(self.tokenizer, string, special)

        def tok_batch_encode(
            self, strings: list[str], left_truncate_len: int = _NO_LIMIT, **_: Any
        ) -> "tuple[torch.Tensor, torch.Tensor]":
            # The prompts of the next generation; the harness hands on only their tokens.
            self._prompts = strings
            rows = [self.tok_encode(string) for string in strings]
            longest = max(map(len, rows))
            _refuse_cut(longest, left_truncate_len)
            pad = self.tokenizer.pad_token_id
            tokens = [[pad] * (longest - len(row)) + row for row in rows]
            mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
            return torch.tensor(tokens), torch.tensor(mask)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> list[float]:
            forward.text = True
            try:
                with self._no_token_of_its_own():
                    return super().loglikelihood_rolling(requests, disable_tqdm)
            finally:
                forward.text = False

        @contextmanager
        def _no_token_of_its_own(self) -> Iterator[None]:
            """The harness puts one start token before a text; the tokenizer adds none."""
            before = vars(self)["add_bos_token"]
            self.add_bos_token = False
            try:
                yield
            finally:
                self.add_bos_token = before

        def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
            for _, context, wanted in requests:
                _refuse_cut(len(context) + len(wanted) - 1, self.max_length)
            found: list[tuple[float, bool] | None] = [None] * len(requests)

            def fits(asked: _Asked) -> int:
                return room.of(read_bytes(size, len(asked.read)))

            rows = _in_batches(_asked(requests), fits, self._scores, halving)
            for place, score in (each for row in rows for each in row):
                found[place] = score
            return [score for score in found if score is not None]

        def _scores(self, batch: Sequence[_Asked]) -> list[list[tuple[int, tuple[float, bool]]]]:
            """For each sequence its requests' places, each with its log-likelihood and whether all
            its tokens are the likeliest."""
            tokens = torch.zeros(len(batch), len(batch[0].read), dtype=torch.long)
            attention = torch.zeros_like(tokens)
            for row, asked in enumerate(batch):
                tokens[row, : len(asked.read)] = torch.tensor(asked.read)
                attention[row, : len(asked.read)] = 1
            forward.contexts = torch.tensor([asked.context for asked in batch], device=self.device)
            hidden = hidden_states(self.model, tokens.to(self.device), attention.to(self.device))
            rows, targets, counts = [], [], []
            for row, asked in enumerate(batch):
                for _, wanted in asked.requests:
                    stop = len(asked.read)
                    rows.append(hidden[row, stop - len(wanted) : stop])
                    targets += wanted
                    counts.append(len(wanted))
            wanted_tokens = torch.tensor(targets, device=self.device)
            logs, likeliest = scored(self.model, torch.cat(rows), wanted_tokens)
            told = iter(zip(logs.split(counts), likeliest.split(counts), strict=True))
            return [[(place, _told(*next(told))) for place, _ in each.requests] for each in batch]

    made = LanguageModel(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=room.sequences,
        max_length=_NO_LIMIT if limit is None else limit,
        softmax_dtype="float32",
    )
    forward.ended = lambda: made.ended
    return made


def _refuse_cut(tokens: int, limit: int) -> None:
    """ValueError for a sequence that the harness would cut; refuse_long lets none come here."""
    if tokens > limit:
        raise ValueError(f"a sequence of {tokens} tokens would be cut to {limit}")


def _asked(requests: Sequence[tuple[Any, list[int], list[int]]]) -> list[_Asked]:
    """The sequences to read for requests of (anything, context, scored tokens), each once though
    several requests ask for it, the longest first, in the harness's order."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, (_, context, wanted) in enumerate(requests):
        found.setdefault(tuple(context + wanted)[:-1], []).append(place)

    def whole(places: list[int]) -> tuple[int, list[int]]:
        # Of several requests the harness sorts by the one with most scored tokens.
        _, context, wanted = requests[max(places, key=lambda place: len(requests[place][2]))]
        return -len(context + wanted), context + wanted

    made = []
    for read, places in sorted(found.items(), key=lambda each: whole(each[1])):
        # A sequence may be requested with two different divisions into context and continuation;
        # the method then starts at the earlier one.
        shortest = min(len(requests[place][1]) for place in places)
        made.append(_Asked(read, shortest, [(place, requests[place][2]) for place in places]))
    return made


def _in_batches(
    items: Sequence[Any],
    fits: Callable[[Any], int],
    work: Callable[[Sequence[Any]], Sequence[Any]],
    halving: Halving,
) -> list[Any]:
    """What `work` gives for batches of the items, in their order."""
    return [each for batch in divided(items, fits) for each in halving.run(batch, work)]


def _told(logs: "torch.Tensor", likeliest: "torch.Tensor") -> tuple[float, bool]:
    """(log-likelihood, whether all tokens are the likeliest)."""
    return float(logs.sum()), bool(likeliest.all())
