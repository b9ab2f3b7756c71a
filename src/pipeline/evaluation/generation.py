"""Greedy generation in which every sequence of a batch ends by itself.

The harness ends a batch when all its sequences have written one and the same stop text, and lets
those that have go on until then. Ending them one by one saves those steps, and tells the meter
which tokens belong to an answer.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

#: Tokens beyond a stop text's own that are looked at, since its pieces may be tokenized otherwise.
_MORE = 2
#: Said outright, since a model may bring a generation_config of its own that says otherwise.
_PLAIN = {
    "do_sample": False,
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
}


def greedy_model(model: Any, tokenizer: Any, batch_size: int) -> Any:
    """The model as the harness takes it, with `ended`: what StopTexts.ended says of the last batch.

    A function, since the base class loads torch when it is imported.
    """
    from lm_eval.models.huggingface import HFLM
    from transformers import StoppingCriteriaList

    class Greedy(HFLM):
        """HFLM, greedy, with stop texts that end single sequences."""

        ended: "torch.Tensor | None" = None

        def _model_generate(
            self, context: "torch.Tensor", max_length: int, stop: list[str], **options: Any
        ) -> "torch.Tensor":
            stops = StopTexts(self.tokenizer, stop, context.shape[1])
            self.ended = None

            def criterion(tokens: "torch.Tensor", scores: Any, **_: Any) -> "torch.Tensor":
                self.ended = stops(tokens)
                return self.ended

            return self.model.generate(
                input_ids=context,
                attention_mask=options["attention_mask"],
                max_length=max_length,
                stopping_criteria=StoppingCriteriaList([criterion]),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                **_PLAIN,
            )

    return Greedy(pretrained=model, tokenizer=tokenizer, batch_size=batch_size)


class StopTexts:
    """Marks, step by step, the sequences that have written one of the stop texts."""

    def __init__(self, tokenizer: Any, texts: list[str], prompt: int) -> None:
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.ended: torch.Tensor | None = None
        ids = {text: tokenizer.encode(text, add_special_tokens=False) for text in texts}
        special = set(tokenizer.all_special_ids)
        self.tokens = {i[0] for i in ids.values() if len(i) == 1 and i[0] in special}
        self.texts = {t: len(i) for t, i in ids.items() if not self.tokens.intersection(i)}

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """(sequences,) bool after a step; `tokens`, (sequences, length), hold prompt and answer."""
        import torch

        if self.ended is None:
            self.ended = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        for token in self.tokens:
            self.ended = self.ended | (tokens[:, -1] == token)
        if self.texts:
            answers = tokens[:, self.prompt :][:, -(max(self.texts.values()) + _MORE) :]
            written = self.tokenizer.batch_decode(answers)
            found = [any(text in answer for text in self.texts) for answer in written]
            self.ended = self.ended | torch.tensor(found, device=tokens.device)
        return self.ended
