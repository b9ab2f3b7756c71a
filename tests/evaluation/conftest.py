"""Greedy answers by plain loops, without cache, batches or harness: what evaluation must equal."""

import json
from dataclasses import dataclass, field

import pytest
import yaml

from pipeline.tasks import task as tasks

MOST = 64


@dataclass
class Written:
    """What a model wrote for one prompt, and the FFN inputs it had on the way."""

    prompt: int
    tokens: list[int]
    ended: bool
    zeros: list[int] = field(default_factory=list)

    @property
    def evaluated(self):
        """Tokens that went through the model: the end token and the last one written do not."""
        return self.prompt + min(len(self.tokens), MOST - 1)


@pytest.fixture(scope="session")
def greedy():
    """A function: model, tokenizer, prompt -> Written."""
    import torch

    from pipeline.models.views import view

    def write(model, tokenizer, prompt):
        ids = tokenizer(prompt).input_ids
        length = len(ids)
        with torch.inference_mode():
            while len(ids) < length + MOST:
                token = int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
                if token == tokenizer.eos_token_id:
                    break
                ids.append(token)
            written = Written(length, ids[length:], len(ids) < length + MOST)
            hooks = [
                ffn.watch(lambda h: written.zeros.append(int((h == 0).sum())))
                for ffn in view(model).ffns
            ]
            model(torch.tensor([ids[: written.evaluated]]), use_cache=False)
            for hook in hooks:
                hook.remove()
        return written

    return write


@pytest.fixture(scope="session")
def writer(make_model):
    """A random model whose answers end early or not at all, and hold no special tokens."""
    import torch

    model = make_model(seed=12, hidden_size=32, num_attention_heads=4, num_key_value_heads=4)
    with torch.no_grad():
        model.lm_head.weight[[0, 1, 3]] = 0
        model.lm_head.weight[2] *= 1.35
    return model


DEFINITION = {
    "task": "words",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "words.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "{{target}}",
    "generation_kwargs": {"until": ["<eos>"], "do_sample": False, "max_gen_toks": MOST},
    "filter_list": [
        {
            "name": "first",
            "filter": [
                {"function": "regex", "regex_pattern": r"^(\S+)"},
                {"function": "take_first"},
            ],
        }
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "metadata": {"version": 1.0, "reasoning": True, "steps": "steps"},
}
PROMPTS = [
    "let a = 3 ; f = a + 4 ; f ?",
    "copy q =",
    "bool T and F or T =",
    "hop c d , x y , a b , b c ; a ?",
    "add 4 7 2 + 3 8 5 =",
    "copy z y x w v u t s r q p o n m =",
]


@pytest.fixture
def task_file(tmp_path):
    """A function that writes a small task with prompts of unequal length; returns its path."""

    def write(targets=None, **changes):
        targets = targets or ["nothing"] * len(PROMPTS)
        rows = [
            {"prompt": prompt, "target": target, "steps": number}
            for number, (prompt, target) in enumerate(zip(PROMPTS, targets, strict=True))
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "words.jsonl").write_text(lines)
        path = tmp_path / "words.yaml"
        path.write_text(yaml.safe_dump({**DEFINITION, **changes}))
        assert [tasks.find(str(path)).text(row) for row in rows] == PROMPTS
        return str(path)

    return write
