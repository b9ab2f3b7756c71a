"""The model behind the harness's interface, with what the harness does not do itself.

Written answers: the harness ends a batch when all its sequences have written one and the same stop
text; here each ends by itself. Likelihoods: the harness pads without an attention mask, so that
nobody could tell padding from text, and a text starts with two start tokens where the tokenizer
puts one of its own before it. Prompts: the harness cuts what is too long for the model, and asks of
the first prompt of a batch alone whether it brings a start token; here nothing is cut, and each is
asked. Scores: the harness takes softmax and sums in the model's type, which rounds a text's
likelihood to whole nats in 16 bits; here both are float32.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.evaluation.generation import Scores, StopTexts, Written, greedy
from pipeline.models.forward import Forward
from pipeline.models.lengths import positions
from pipeline.models.tokens import encode

if TYPE_CHECKING:
    import torch

#: Tokens that a sequence may have where the model sets no limit; the harness wants a number.
_NO_LIMIT = 2**31


def language_model(model: Any, tokenizer: Any, batch_size: int, forward: Forward) -> Any:
    """An HFLM that tells `forward` which sequences of a batch have ended, how much of them is
    context, and whether they are texts.

    A function, since the base class loads torch when it is imported.
    """
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import LogitsProcessorList, StoppingCriteriaList

    limit = positions(model.config)

    class LanguageModel(HFLM):
        """HFLM, greedy, with stop texts that end single sequences and masks over padding."""

        ended: "torch.Tensor | None" = None
        #: Tokens of every requested sequence -> how many of them are context.
        _asked: dict[tuple[int, ...], int] = {}  # noqa: RUF012 - replaced, never changed
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

        def _loglikelihood_tokens(self, requests: Any, **options: Any) -> Any:
            self._asked = {}
            for _, context, scored in requests:
                _refuse_cut(len(context) + len(scored) - 1, self.max_length)
                read = tuple((context + scored)[-(self.max_length + 1) : -1])
                # A sequence may be requested with two different divisions into context and
                # continuation; the method then starts at the earlier one.
                before = max(0, len(read) + 1 - len(scored))
                self._asked[read] = min(before, self._asked.get(read, before))
            return super()._loglikelihood_tokens(requests, **options)

        def _model_call(self, inps: "torch.Tensor", *_: Any, **__: Any) -> "torch.Tensor":
            attention, forward.contexts = padding_mask(inps, self._asked)
            return self.model(input_ids=inps, attention_mask=attention).logits

    made = LanguageModel(
        pretrained=model,
        tokenizer=tokenizer,
        batch_size=batch_size,
        max_length=_NO_LIMIT if limit is None else limit,
        softmax_dtype="float32",
    )
    forward.ended = lambda: made.ended
    return made


def _refuse_cut(tokens: int, limit: int) -> None:
    """ValueError for a sequence that the harness would cut; refuse_long lets none come here."""
    if tokens > limit:
        raise ValueError(f"a sequence of {tokens} tokens would be cut to {limit}")


def padding_mask(
    tokens: "torch.Tensor", asked: Mapping[tuple[int, ...], int]
) -> "tuple[torch.Tensor, torch.Tensor]":
    """(mask, contexts): 1 where a token stands, 0 where zeros pad a row on the right, like
    `tokens`, (rows, length); and how many tokens of each row are context, (rows,).

    A row is taken as the longest of the sequences in `asked` that padding with zeros turns into it,
    so no token of a text is ever masked. ValueError for a row that matches none of them.
    """
    import torch

    lengths, contexts = [], []
    # Only a sequence that ends in a zero can be longer than what is not zero.
    longer = sorted({len(sequence) for sequence in asked if sequence and not sequence[-1]})
    for row in tokens.tolist():
        shortest = max((place + 1 for place, token in enumerate(row) if token), default=0)
        sizes = [shortest, *(n for n in longer if shortest < n <= len(row))]
        fits = [n for n in sizes if tuple(row[:n]) in asked]
        if not fits:
            raise ValueError("a row of the batch is not one of the sequences that were asked for")
        lengths.append(fits[-1])
        contexts.append(asked[tuple(row[: fits[-1]])])
    places = torch.arange(tokens.shape[1], device=tokens.device)
    mask = (places < torch.tensor(lengths, device=tokens.device)[:, None]).long()
    return mask, torch.tensor(contexts, device=tokens.device)
