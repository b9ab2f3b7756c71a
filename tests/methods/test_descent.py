"""The training loop: restarts to the byte, what is kept, when it ends, what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.methods.descent import Schedule, _batches, train

ITEMS = 10
SCHEDULE = Schedule(learning_rate=0.05, steps=23, batch=4, every=5, patience=9)


class Stopped(Exception):
    pass


class Problem:
    """Least squares with items for rows; `stop_at` raises in that call of the loss."""

    def __init__(self, stop_at=None, dtype="float32"):
        import torch

        generator = torch.Generator().manual_seed(7)
        kind = getattr(torch, dtype)
        self.x = torch.randn(ITEMS, 3, generator=generator).to(kind)
        self.y = torch.randn(ITEMS, 2, generator=generator).to(kind)
        self.parameters = {
            "weight": torch.zeros(3, 2, dtype=kind),
            "bias": torch.zeros(2, dtype=kind),
        }
        self.stop_at, self.drawn = stop_at, []

    def error(self, items):
        predicted = self.x[items] @ self.parameters["weight"] + self.parameters["bias"]
        return (predicted - self.y[items]).square().mean()

    def loss(self, items):
        self.drawn.append(list(items))
        if len(self.drawn) == self.stop_at:
            raise Stopped
        return self.error(self.drawn[-1])

    def losses(self, items):
        return [self.loss(items)]

    def held_out(self):
        return float(self.error(slice(None)))

    def train(self, checkpoint=None, schedule=SCHEDULE, seed=0, label="layer 3", **others):
        held_out = others.pop("held_out", self.held_out)
        return train(
            self.parameters,
            self.losses,
            held_out,
            ITEMS,
            schedule,
            seed,
            checkpoint,
            label,
            **others,
        )


def as_bytes(parameters):
    return {name: tensor.numpy().tobytes() for name, tensor in parameters.items()}


def scripted(losses):
    """A held-out measurement that tells one loss after the other."""
    told = iter(losses)
    return lambda: next(told)


@pytest.fixture(scope="module")
def undisturbed():
    best, curve = Problem().train()
    return as_bytes(best), curve


@pytest.mark.parametrize("stop_at", [1, 5, 6, 7, 16, 22, 23])
def test_a_run_that_was_interrupted_ends_with_the_same_bytes(tmp_path, undisturbed, stop_at):
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        Problem(stop_at).train(checkpoint)
    resumed = Problem()
    best, curve = resumed.train(checkpoint)
    assert (as_bytes(best), curve) == undisturbed
    assert len(resumed.drawn) == 23 - (stop_at - 1) // 5 * 5


def test_a_run_that_was_interrupted_at_every_measurement_ends_with_the_same_bytes(
    tmp_path, undisturbed
):
    checkpoint = tmp_path / "checkpoint.pt"
    for _ in range(4):
        with pytest.raises(Stopped):
            Problem(stop_at=6).train(checkpoint)
    best, curve = Problem().train(checkpoint)
    assert (as_bytes(best), curve) == undisturbed


def test_a_finished_run_is_read_and_not_trained_again(tmp_path, undisturbed):
    checkpoint = tmp_path / "checkpoint.pt"
    Problem().train(checkpoint)
    again = Problem(stop_at=1)
    best, curve = again.train(checkpoint, held_out=scripted([]))
    assert (as_bytes(best), curve) == undisturbed
    assert as_bytes({n: t.detach() for n, t in again.parameters.items()}) == as_bytes(best)


def test_a_run_that_stopped_early_stays_so(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    schedule = replace(SCHEDULE, patience=2)
    first = Problem().train(checkpoint, schedule, held_out=scripted([3.0, 2.0, 4.0, 5.0]))
    again = Problem(stop_at=1).train(checkpoint, schedule, held_out=scripted([]))
    assert again[1] == first[1] and as_bytes(again[0]) == as_bytes(first[0])


OTHERS = {
    "schedule": {"schedule": replace(SCHEDULE, learning_rate=0.06)},
    "patience": {"schedule": replace(SCHEDULE, patience=8)},
    "seed": {"seed": 1},
    "label": {"label": "layer 4"},
    "fingerprint": {"fingerprint": "other data"},
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_checkpoint_of_other_settings_does_not_count(tmp_path, other):
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(Stopped):
        Problem(stop_at=17).train(checkpoint)
    resumed = Problem()
    best, curve = resumed.train(checkpoint, **other)
    anew, anew_curve = Problem().train(None, **other)
    assert len(resumed.drawn) == 23
    assert as_bytes(best) == as_bytes(anew) and curve == anew_curve


def test_a_checkpoint_of_other_parameters_does_not_count(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    Problem().train(checkpoint)
    resumed = Problem(dtype="float64")
    resumed.train(checkpoint)
    assert len(resumed.drawn) == 23


DAMAGE = {
    "cut": lambda whole: whole[: len(whole) // 2],
    "text": lambda whole: b"no checkpoint",
    "empty": lambda whole: b"",
    "shifted": lambda whole: whole[1:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_does_not_count(tmp_path, undisturbed, damage):
    checkpoint = tmp_path / "checkpoint.pt"
    Problem().train(checkpoint)
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    resumed = Problem()
    best, curve = resumed.train(checkpoint)
    assert (as_bytes(best), curve) == undisturbed and len(resumed.drawn) == 23


def test_a_checkpoint_with_a_flipped_bit_does_not_count(tmp_path, undisturbed):
    checkpoint = tmp_path / "checkpoint.pt"
    Problem().train(checkpoint)
    whole = checkpoint.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 20):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        checkpoint.write_bytes(damaged)
        best, curve = Problem().train(checkpoint)
        assert (as_bytes(best), curve) == undisturbed


def test_a_checkpoint_changes_nothing_and_stays_alone_in_its_folder(tmp_path, undisturbed):
    checkpoint = tmp_path / "new" / "checkpoint.pt"
    best, curve = Problem().train(checkpoint)
    assert (as_bytes(best), curve) == undisturbed
    assert list(checkpoint.parent.iterdir()) == [checkpoint]


def test_another_seed_draws_other_batches():
    first, other = Problem(), Problem()
    first.train(seed=0), other.train(seed=1)
    assert first.drawn != other.drawn


def test_rows_of_the_curve_by_hand():
    _, curve = Problem().train(held_out=scripted([6.0, 5.0, 3.0, 4.0, 3.0, 7.0]))
    assert [row["step"] for row in curve] == [0, 5, 10, 15, 20, 23]
    assert [row["items"] for row in curve] == [0, 20, 40, 60, 80, 92]
    assert [row["best"] for row in curve] == [False, False, True, False, False, False]
    assert {row["label"] for row in curve} == {"layer 3"}
    assert set(curve[0]) == {"label", "step", "items", "train", "held_out", "best"}


def test_train_losses_are_means_since_the_row_before():
    problem, losses = Problem(), []
    before = problem.loss

    def loss(items):
        total = before(items)
        losses.append(float(total.detach()))
        return total

    problem.loss = loss
    _, curve = problem.train()
    assert curve[0]["train"] is None
    assert curve[1]["train"] == math.fsum(losses[:5]) / 5
    assert curve[-1]["train"] == math.fsum(losses[20:]) / 3


def test_the_parameters_of_the_lowest_loss_are_kept_the_earlier_of_equal_ones():
    best, _ = Problem().train(held_out=scripted([6.0, 5.0, 3.0, 4.0, 3.0, 7.0]))
    after_ten, _ = Problem().train(
        schedule=replace(SCHEDULE, steps=10), held_out=scripted([3.0, 2.0, 1.0])
    )
    assert as_bytes(best) == as_bytes(after_ten)


def test_parameters_that_only_get_worse_stay_as_they_were():
    problem = Problem()
    best, curve = problem.train(held_out=scripted([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    assert all(not tensor.any() for tensor in best.values())
    assert all(not tensor.any() for tensor in problem.parameters.values())
    assert not any(tensor.requires_grad for tensor in best.values())
    assert curve[0]["best"]


def test_training_stops_when_patience_is_used_up():
    problem = Problem()
    schedule = replace(SCHEDULE, steps=500, patience=2)
    _, curve = problem.train(schedule=schedule, held_out=scripted([5.0, 4.0, 4.0, 3.0, 4.0, 3.0]))
    assert [row["step"] for row in curve] == [0, 5, 10, 15, 20, 25]
    assert len(problem.drawn) == 25


def test_no_steps_measure_once_and_keep_the_start():
    best, curve = Problem().train(schedule=replace(SCHEDULE, steps=0))
    assert len(curve) == 1 and curve[0]["best"]
    assert all(not tensor.any() for tensor in best.values())


@pytest.mark.parametrize("items, batch", [(10, 4), (10, 5), (3, 3), (7, 1), (5, 4)])
def test_every_epoch_holds_every_item_once_and_has_its_own_order(items, batch):
    drawn = _batches(items, batch, seed=0, first=0)
    order = [next(drawn) for _ in range(4 * items)]
    assert {len(one) for one in order} == {batch}
    flat = sum(order, [])
    epochs = [flat[at : at + items] for at in range(0, 4 * items * batch, items)]
    assert all(sorted(epoch) == list(range(items)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    for first in range(2 * items):
        assert next(_batches(items, batch, seed=0, first=first)) == order[first]


def test_a_batch_larger_than_the_items_is_all_items():
    problem = Problem()
    _, curve = problem.train(schedule=replace(SCHEDULE, batch=64))
    assert all(sorted(items) == list(range(ITEMS)) for items in problem.drawn)
    assert curve[-1]["items"] == 23 * ITEMS


def test_least_squares_reach_their_closed_form_optimum():
    problem = Problem(dtype="float64")
    schedule = Schedule(learning_rate=0.01, steps=3000, batch=ITEMS, every=50, patience=60)
    best, _ = problem.train(schedule=schedule)
    design = np.hstack([problem.x.numpy(), np.ones((ITEMS, 1))])
    solution = np.linalg.lstsq(design, problem.y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(best["weight"].numpy(), solution[:3], atol=1e-6)
    np.testing.assert_allclose(best["bias"].numpy(), solution[3], atol=1e-6)


def test_the_first_step_of_adamw_by_hand():
    """Adam's first step moves every value by the learning rate against its gradient's sign; decay
    takes learning rate times decay of the value before."""
    import torch

    parameters = {"a": torch.tensor([2.0, -4.0], dtype=torch.float64)}
    schedule = Schedule(0.1, steps=1, batch=1, every=1, patience=1, weight_decay=0.5)
    best, _ = train(
        parameters,
        lambda items: [parameters["a"].square().sum()],
        scripted([2.0, 1.0]), 1, schedule, 0, None, "by hand",
    )  # fmt: skip
    expected = [2.0 * 0.95 - 0.1, -4.0 * 0.95 + 0.1]
    np.testing.assert_allclose(best["a"].numpy(), expected, rtol=1e-7)


def test_gradients_are_clipped_together(monkeypatch):
    import torch

    parameters = {"a": torch.zeros(1), "b": torch.zeros(1)}
    seen = []

    def loss(items):
        return [30 * parameters["a"].sum() + 40 * parameters["b"].sum()]

    def step(_optimizer):
        seen.append([float(parameters[name].grad) for name in "ab"])

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    schedule = Schedule(0.1, steps=1, batch=1, every=9, patience=1, clip=0.5)
    train(parameters, loss, scripted([2.0, 1.0]), 1, schedule, 0, None, "clipped")
    np.testing.assert_allclose(seen, [[0.3, 0.4]], rtol=1e-5)


def test_a_loss_in_parts_is_their_sum_and_no_part_is_kept_for_the_next():
    """Least squares, item by item: the steps are those of the whole batch, but for rounding, and a
    part's gradients are taken before the next part is asked for."""
    whole, problem = Problem(dtype="float64"), Problem(dtype="float64")
    weight = problem.parameters["weight"]
    graded = []

    def parts(items):
        for item in items:
            graded.append(weight.grad is not None)
            yield problem.error([item]) / len(items)

    problem.losses = parts
    best, curve = problem.train()
    known, known_curve = whole.train()
    for name, values in known.items():
        np.testing.assert_allclose(best[name].numpy(), values.numpy(), rtol=1e-9)
    for row, other in zip(curve[1:], known_curve[1:], strict=True):
        assert row["train"] == pytest.approx(other["train"], rel=1e-9)
    assert graded == [False, True, True, True] * 23


def test_gradients_of_other_owners_are_left_alone():
    import torch

    frozen = torch.ones(3, requires_grad=True)
    parameters = {"a": torch.zeros(3)}
    schedule = replace(SCHEDULE, steps=3)
    train(
        parameters,
        lambda items: [(frozen * parameters["a"] - 1).square().sum()],
        scripted([2.0, 1.0]), 1, schedule, 0, None, "beside a model",
    )  # fmt: skip
    assert frozen.grad is None and parameters["a"].grad is None


def test_a_loss_that_is_not_finite_is_refused_with_step_and_learning_rate():
    problem = Problem()
    before = problem.loss
    problem.loss = lambda items: before(items) * (math.nan if len(problem.drawn) == 8 else 1)
    with pytest.raises(UserError, match=r"layer 3: the loss is nan at step 8 .*rate 0\.05\. Give"):
        problem.train()


def test_a_gradient_that_is_not_finite_is_refused():
    import torch

    parameters = {"a": torch.zeros(1)}
    with pytest.raises(UserError, match="the norm of the gradient is inf at step 1 "):
        train(
            parameters, lambda items: [parameters["a"].sqrt().sum()], lambda: 1.0, 1, SCHEDULE,
            0, None, "root",
        )  # fmt: skip


def test_a_held_out_loss_that_is_not_finite_is_refused():
    with pytest.raises(UserError, match="the held-out loss is inf at step 5 "):
        Problem().train(held_out=scripted([1.0, math.inf]))


def test_no_items_and_counts_that_are_too_small_are_refused():
    problem = Problem()
    with pytest.raises(UserError, match="no items to train on"):
        train(problem.parameters, problem.losses, problem.held_out, 0, SCHEDULE, 0, None, "x")
    with pytest.raises(UserError, match="every is 0; give 1 or more"):
        replace(SCHEDULE, every=0)
