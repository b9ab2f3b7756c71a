"""Which tokens of a pass count, and at which a method is at work, worked out by hand."""

import pytest
import torch

from pipeline.models.forward import CONTINUATION, START, Forward

STOP = 2


class Listener(torch.nn.Module):
    """A model that makes nothing of its tokens."""

    def forward(self, input_ids, attention_mask=None):
        return input_ids


class Passes:
    """Passes of a model that a Forward watches, and what it then knows."""

    def __init__(self, **facts):
        self.model = Listener()
        self.forward = Forward(frozenset({STOP}), **facts)

    def ask(self, tokens, attention=None):
        """One pass; what counts and where the method is at work, as lists."""
        masks = {} if attention is None else {"attention_mask": torch.tensor(attention)}
        self.model(input_ids=torch.tensor(tokens), **masks)
        sparse = self.forward.sparse
        return (
            self.forward.counted.int().tolist(),
            None if sparse is None else sparse.int().tolist(),
        )


@pytest.fixture
def passes():
    """A function: facts of a Forward -> Passes that it watches for the length of the test."""
    found = []

    def make(**facts):
        made = Passes(**facts)
        context = made.forward.watching(made.model)
        context.__enter__()
        found.append(context)
        return made

    yield make
    for context in found:
        context.__exit__(None, None, None)


PROMPT = [[0, 0, 7, 8], [4, 5, 6, 7]], [[0, 0, 1, 1], [1, 1, 1, 1]]


def step(number, first, second):
    """A step of generation after PROMPT: a token a row, and the mask of all tokens so far."""
    ones = [1] * number
    return [[first], [second]], [[0, 0, 1, 1, *ones], [1, 1, 1, 1, *ones]]


def test_a_method_from_the_start_is_at_work_everywhere(passes):
    made = passes()
    assert made.ask(*PROMPT) == ([[0, 0, 1, 1], [1, 1, 1, 1]], None)
    assert made.ask(*step(1, 5, 5)) == ([[1], [1]], None)


def test_a_prompt_is_dense_and_its_answer_sparse(passes):
    made = passes(sparse_from=CONTINUATION)
    assert made.ask(*PROMPT)[1] == [[0] * 4] * 2
    assert made.forward.begins and made.forward.working == 0
    assert made.ask(*step(1, 5, 5)) == ([[1], [1]], None)
    assert not made.forward.begins and made.forward.working == 2
    assert made.ask(*PROMPT)[1] == [[0] * 4] * 2


def test_the_first_tokens_are_dense_and_padding_is_none_of_them(passes):
    made = passes(sparse_from=3)
    _, sparse = made.ask(*PROMPT)
    assert (sparse[0][2:], sparse[1]) == ([0, 0], [0, 0, 0, 1])
    assert made.forward.working == 1
    assert made.ask(*step(1, 5, 5))[1] == [[0], [1]]
    assert made.ask(*step(2, 5, 5))[1] == [[1], [1]]
    # Another prompt of as many sequences starts anew.
    assert made.ask(*PROMPT)[1][1] == [0, 0, 0, 1]
    assert made.ask(*step(1, 5, 5))[1] == [[0], [1]]


def test_steps_without_masks_are_counted_on_too(passes):
    made = passes(sparse_from=3)
    assert made.ask([[4, 5]])[1] == [[0, 0]]
    assert [made.ask([[6]])[1] for _ in range(3)] == [[[0]], [[1]], [[1]]]


@pytest.mark.parametrize(
    ("first", "wanted"), [(0, [1, 1, 1, 1]), (1, [0, 1, 1, 1]), (4, [0] * 4), (9, [0] * 4)]
)
def test_so_many_tokens_are_dense(passes, first, wanted):
    assert passes(sparse_from=first).ask([[4, 5, 6, 7]])[1] == [wanted]


def test_the_context_of_a_likelihood_is_dense_wherever_it_ends(passes):
    made = passes(sparse_from=CONTINUATION)
    made.forward.contexts = torch.tensor([1, 3, 4])
    tokens, padding = [[4, 5, 6, 7]] * 3, [[1, 1, 1, 0], [1] * 4, [1] * 4]
    counted, sparse = made.ask(tokens, padding)
    assert counted == padding
    assert sparse == [[0, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert made.forward.working == 2 + 1
    # So many tokens are so many, whatever is context.
    made = passes(sparse_from=2)
    made.forward.contexts = torch.tensor([1, 3, 4])
    _, sparse = made.ask(tokens, padding)
    assert (sparse[0][:3], *sparse[1:]) == ([0, 0, 1], [0, 0, 1, 1], [0, 0, 1, 1])


@pytest.mark.parametrize("start", [START, CONTINUATION, 2])
def test_a_text_is_sparse_from_its_start(passes, start):
    made = passes(sparse_from=start)
    made.forward.text = True
    made.forward.contexts = torch.tensor([1, 1])
    assert made.ask(*PROMPT)[1] is None
    made.forward.text = False
    assert (made.ask(*PROMPT)[1] is None) is (start == START)


def test_tokens_after_an_end_do_not_count_and_padding_does_not(passes):
    made = passes()
    over = [None]
    made.forward.ended = lambda: over[0]
    assert made.ask(*PROMPT)[0] == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert made.ask(*step(1, 5, STOP))[0] == [[1], [0]]
    assert made.ask(*step(2, 5, 5))[0] == [[1], [0]]
    over[0] = torch.tensor([True, False])
    assert made.ask(*step(3, 5, 5))[0] == [[0], [0]]
    assert made.forward.tokens == made.forward.working == 0
    assert made.ask(*step(4, 5, 5))[0] == [[0], [0]]
    # The stop token of a prompt ends nothing.
    assert made.ask([[STOP, 5]])[0] == [[1, 1]]
    over[0] = None
    assert made.ask([[6]], [[1, 1, 1]])[0] == [[1]]


def test_a_prompt_of_one_token_begins_and_a_step_does_not(passes):
    made = passes(sparse_from=CONTINUATION)
    for _ in range(2):
        made.ask([[5], [6]], [[1], [1]])
        assert made.forward.begins
    made.ask([[5], [6]], [[1, 1], [1, 1]])
    assert not made.forward.begins
    made.ask([[5]], [[1]])
    assert made.forward.begins


def test_what_counts_is_picked_from_values_of_either_shape(passes):
    made = passes()
    made.ask(*PROMPT)
    values = torch.arange(24.0).reshape(2, 4, 3)
    wanted = [[6.0, 7, 8], [9.0, 10, 11], *values[1].tolist()]
    assert made.forward.counted_of(values).tolist() == wanted
    assert made.forward.counted_of(values.reshape(8, 3)).tolist() == wanted
    assert made.forward.counted_of(values > 7).tolist() == (torch.tensor(wanted) > 7).tolist()
    assert made.forward.tokens == 6
    made.ask([[4, 5, 6, 7]] * 2)
    assert made.forward.counted_of(values).tolist() == values.reshape(8, 3).tolist()


def test_tokens_may_come_without_their_name():
    model, forward = Listener(), Forward()
    with forward.watching(model):
        model(torch.tensor([[4, 5]]))
        assert forward.counted.tolist() == [[True, True]]


def test_nothing_is_known_outside_of_a_pass_and_no_hook_is_left():
    model, forward = Listener(), Forward(sparse_from=1)
    with pytest.raises(RuntimeError, match="stopped"), forward.watching(model):
        model(input_ids=torch.tensor([[4, 5], [6, 7]]))
        model(input_ids=torch.tensor([[4], [6]]))
        raise RuntimeError("stopped")
    assert forward.counted is forward.present is forward.sparse is None
    assert forward.begins and forward.tokens == 0
    assert not model._forward_pre_hooks
    # Sequences do not go on from one block to the next.
    with forward.watching(model):
        model(input_ids=torch.tensor([[4], [6]]))
        assert forward.begins and forward.sparse.tolist() == [[False], [False]]
