"""Nothing is cut in silence: prompts, answers and choices against positions, texts in windows."""

import json

import pytest
import torch
import yaml

from pipeline.config.evaluation import Evaluation
from pipeline.errors import UserError
from pipeline.evaluation.evaluate import evaluate, summed
from pipeline.evaluation.language_model import language_model
from pipeline.evaluation.lengths import refuse_long
from pipeline.models.forward import Forward
from pipeline.models.lengths import positions, refuse_windows
from pipeline.models.memory import Halving, Room

HEAD = {"dataset_path": "json", "test_split": "test", "metadata": {"reasoning": False}}


@pytest.fixture
def task(tmp_path):
    """A function that writes a task with items and returns its path."""

    def write(items, **definition):
        (tmp_path / "own.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        files = {"dataset_kwargs": {"data_files": {"test": "own.jsonl"}}}
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump({**HEAD, **files, "task": "own", **definition}))
        return str(path)

    return write


@pytest.fixture
def answers(task):
    """A function: lengths of prompts in words, max_gen_toks -> a task that is answered in
    writing."""

    def write(*words, most=None):
        options = {"until": ["<eos>"]} | ({} if most is None else {"max_gen_toks": most})
        return task(
            [{"prompt": " ".join("a" * n), "target": "a"} for n in words],
            output_type="generate_until",
            doc_to_text="prompt",
            doc_to_target="target",
            generation_kwargs=options,
            metric_list=[{"metric": "exact_match"}],
        )

    return write


def asked(path, **changes):
    return Evaluation(tasks=(path,), **changes)


def test_a_prompt_with_its_answer_just_fits(answers, tokenizer):
    # A start token, nine words and an answer of six are sixteen positions.
    refuse_long(asked(answers(9, most=6)), tokenizer, 16)
    refuse_long(asked(answers(9, most=6)), tokenizer, None)
    with pytest.raises(UserError) as refused:
        refuse_long(asked(answers(3, 10, 11, most=6)), tokenizer, 16)
    message = str(refused.value)
    assert "task own: 2 of 3 items need more than the model's 16 positions" in message
    assert "item 1 is the first and needs 17 with its max_gen_toks of 6" in message


def test_only_items_that_are_evaluated_count(answers, tokenizer):
    refuse_long(asked(answers(3, 4, 100, most=6), limit=2), tokenizer, 16)


@pytest.mark.parametrize(("most", "told"), [(16, 16), (512, 512), (None, 256)])
def test_an_answer_as_long_as_the_model_is_refused_with_both_numbers(
    answers, tokenizer, most, told
):
    with pytest.raises(UserError, match=rf"max_gen_toks is {told}, .* the model has 16 positions"):
        refuse_long(asked(answers(1, most=most)), tokenizer, 16)


def test_the_last_token_of_a_choice_takes_no_position(task, tokenizer):
    path = task(
        [{"prompt": "a a a #", "choices": ["b", "b b b"], "right": 0}],
        output_type="multiple_choice",
        doc_to_text="prompt",
        doc_to_target="right",
        doc_to_choice="choices",
        metric_list=[{"metric": "acc"}],
    )
    refuse_long(asked(path), tokenizer, 7)
    with pytest.raises(UserError, match="1 of 1 items .* 6 positions; item 0 .* needs 7. Shorten"):
        refuse_long(asked(path), tokenizer, 6)


@pytest.mark.parametrize("most", [6, 64])
def test_evaluation_refuses_before_it_asks_the_model(make_model, answers, tokenizer, most):
    model = make_model(max_position_embeddings=16)
    model.forward = None
    with pytest.raises(UserError, match="16 positions"):
        evaluate(model, tokenizer, asked(answers(2, 20, most=most)))


def test_what_just_fits_is_evaluated_whole(make_model, answers, tokenizer):
    """OPT's positions are a table, so one too many would be an error."""
    model = make_model("OPTForCausalLM", max_position_embeddings=16)
    samples, counts = evaluate(model, tokenizer, asked(answers(9, 2, most=6)))
    assert len(samples) == 2


@pytest.fixture
def text(task):
    """A function that writes a task of texts."""

    def write(*texts):
        return task(
            [{"text": each} for each in texts],
            output_type="loglikelihood_rolling",
            doc_to_text="",
            doc_to_target="text",
            metric_list=[{"metric": "word_perplexity"}],
        )

    return write


def windowed(model, ids, limit):
    """Nats of all tokens but the first: as many as fit at first, then windows of which the first
    token is the last one of the window before; the last window reaches back as far as fits."""
    nats = 0.0
    scored = 1
    while scored < len(ids):
        stop = min(len(ids), scored + limit)
        first = max(0, stop - 1 - limit)
        with torch.inference_mode():
            logits = model(torch.tensor([ids[first : stop - 1]])).logits[0].log_softmax(-1)
        nats -= sum(float(logits[at - 1 - first, ids[at]]) for at in range(scored, stop))
        scored = stop
    return nats


@pytest.mark.parametrize("architecture", ["LlamaForCausalLM", "OPTForCausalLM"])
@pytest.mark.parametrize("words", [7, 8, 9, 16, 17, 27])
def test_a_text_longer_than_the_model_is_scored_in_windows_each_token_once(
    make_model, text, tokenizer, architecture, words
):
    model = make_model(architecture, max_position_embeddings=8)
    alphabet = "abcdefghijklmnopqrstuvwxyz0123"[:words]
    config = asked(text(" ".join(alphabet), "a b"), batch_size=2)
    samples, sparsity = summed(*evaluate(model, tokenizer, config), config)
    ids = tokenizer(" ".join(alphabet)).input_ids
    assert samples[0]["scored_tokens"] == words == len(ids) - 1
    assert samples[0]["nats"] == pytest.approx(windowed(model, ids, 8), abs=1e-4)


def test_what_would_be_cut_is_never_passed_on(make_model, tokenizer):
    model = language_model(
        make_model(max_position_embeddings=8), tokenizer, Room(2), Forward(), Halving()
    )
    with pytest.raises(ValueError, match="9 tokens would be cut to 6"):
        model.tok_batch_encode(["a", "a " * 8], left_truncate_len=6, truncation=False)
    with pytest.raises(ValueError, match="9 tokens would be cut to 8"):
        model._loglikelihood_tokens([(None, [1] * 9, [5])])


def test_prompts_are_padded_on_the_left_each_with_one_start_token(make_model, tokenizer):
    model = language_model(make_model(), tokenizer, Room(2), Forward(), Halving())
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    tokens, mask = model.tok_batch_encode(["<bos> a b", "a"], left_truncate_len=64)
    assert tokens.tolist() == [[1, a, b], [0, 1, a]]
    assert mask.tolist() == [[1, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize(
    "architecture", ["LlamaForCausalLM", "OPTForCausalLM", "GPT2LMHeadModel", "GPTNeoXForCausalLM"]
)
def test_positions_are_those_of_the_configuration(make_model, architecture):
    assert positions(make_model(architecture, max_position_embeddings=40).config) == 40


def test_a_configuration_may_set_no_limit():
    assert positions(object()) is None


def test_windows_of_a_corpus_fit_the_positions():
    refuse_windows("path:a.txt", 64, 64)
    refuse_windows("path:a.txt", 65, None)
    with pytest.raises(UserError, match="sequence_length is 65, and the model has 64 positions"):
        refuse_windows("path:a.txt", 65, 64)
