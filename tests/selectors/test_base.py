"""What all selectors share: epochs, the last batch, warm-up, states, refusals."""

import numpy as np
import pytest
import torch
from jaxtyping import Int
from torch import Tensor

from polytag.errors import DataError, ParameterError, ResumeError
from polytag.selectors import AdaC, Adaptive, BatchSelector, Hard, Random
from polytag.selectors.base import shuffled_pass

Y = np.eye(10)


class Lowest(BatchSelector):
    """Always the first rows."""

    def draw(self, k: int) -> Int[Tensor, "k"]:
        return torch.arange(k)


def test_a_selector_needs_only_draw():
    assert [rows.tolist() for rows in Lowest(Y, 4)] == [[0, 1, 2, 3]] * 3


def test_last_batch_is_full_or_the_remainder():
    assert [len(rows) for rows in Lowest(Y, 4)] == [4, 4, 4]
    assert [len(rows) for rows in Lowest(Y, 4, last_batch="remainder")] == [4, 4, 2]


def test_warmup_passes_then_draws():
    selector = Lowest(Y, 4, warmup=2, seed=3)
    for epoch in range(2):
        assert torch.cat(list(selector)).tolist() == shuffled_pass(10, 3, epoch).tolist()
    assert next(iter(selector)).tolist() == [0, 1, 2, 3]


def test_warmup_of_all_selectors_is_random(rng):
    x = rng.normal(size=(10, 2))
    runs = []
    for cls in (Random, Hard, Adaptive, AdaC):
        selector = cls(Y, 4, x=x, seed=7)
        runs.append([rows.tolist() for _ in range(3) for rows in selector])
    assert all(run == runs[0] for run in runs)


def test_sequential_warmup():
    assert torch.cat(list(Lowest(Y, 4, warmup=1, warmup_order="sequential"))).tolist() == list(range(10))
    assert torch.cat(list(Random(Y, 4, order="sequential"))).tolist() == list(range(10))


def test_passes_differ_from_epoch_to_epoch():
    assert shuffled_pass(50, 0, 0).tolist() != shuffled_pass(50, 0, 1).tolist()


def test_epoch_and_step_say_where_it_is():
    selector = Lowest(Y, 4)
    batches = iter(selector)
    next(batches)
    assert (selector.epoch, selector.step) == (0, 1)
    list(batches)
    assert (selector.epoch, selector.step) == (1, 0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"warmup": -1}, "warmup"),
        ({"seed": -1}, "seed"),
        ({"last_batch": "half"}, "last_batch"),
        ({"warmup_order": "sorted"}, "warmup_order"),
        ({"on_nonfinite": "ignore"}, "on_nonfinite"),
    ],
)
def test_impossible_parameters(arguments, named):
    with pytest.raises(ParameterError, match=named):
        Lowest(Y, **{"batch_size": 4, **arguments})


def test_x_of_another_length():
    with pytest.raises(DataError, match="rows in x"):
        Lowest(Y, 4, x=np.zeros((9, 2)))


@pytest.mark.parametrize(
    "other",
    [Hard(Y, 4), Adaptive(Y, 4, imbalance_weight=False, pressure=2), Adaptive(Y, 5, imbalance_weight=False), Adaptive(Y, 4, x=Y)],
)
def test_state_of_another_selector_is_refused(other):
    with pytest.raises(ResumeError, match="instead of"):
        Adaptive(Y, 4, imbalance_weight=False).load_state_dict(other.state_dict())


def test_nonfinite_loss_can_count_as_the_largest():
    for cls in (Hard, Adaptive):
        selector = cls(Y, 4, on_nonfinite="max", **({} if cls is Hard else {"imbalance_weight": False}))
        selector.update(torch.arange(10), torch.zeros(10, 10))
        selector.update(torch.arange(2), torch.tensor([[torch.nan] * 10, [3.0] * 10]))
        losses = selector.losses if cls is Hard else selector.losses.values
        assert losses[0] == losses.max() == losses[1]
        assert losses[2] == pytest.approx(np.log(2))


class Picky(BatchSelector):
    """Shows pairs of candidates until a batch is full: those with the larger logit stay."""

    def __init__(self, *args, **shared):
        super().__init__(*args, **shared)
        self.kept = []

    def _ask(self):
        self.screening = True
        return torch.from_numpy(self.generator.choice(np.setdiff1d(np.arange(self.n), self.kept), 2, replace=False))

    def draw(self, k):
        self.kept, self.wanted = [], k
        return self._ask()

    def sift(self, rows, logits):
        self.kept.append(int(rows[int(logits[:, 0].argmax())]))
        return torch.tensor(self.kept) if len(self.kept) == self.wanted else self._ask()


def test_candidates_are_shown_as_often_as_the_selector_asks():
    selector, shown = Picky(Y, 3), 0
    for drawn in selector:
        rows = drawn
        while selector.screening:
            shown += 1
            rows = selector.screen(rows, rows[:, None].expand(-1, 10).float())
        assert len(rows) == 3
    assert shown == 4 * 3


def test_screening_without_candidates_is_refused():
    selector = Lowest(Y, 4)
    rows = next(iter(selector))
    with pytest.raises(ParameterError, match="no candidates"):
        selector.screen(rows, torch.zeros(4, 10))


def test_candidates_that_do_not_fit_are_refused_and_can_be_shown_again():
    selector = Picky(Y, 3)
    rows = next(iter(selector))
    with pytest.raises(DataError, match="logits of shape"):
        selector.screen(rows, torch.zeros(2, 9))
    assert selector.screening
    selector.screen(rows, torch.zeros(2, 10))


@pytest.mark.parametrize("bad", [{"lag": -1}, {"correction": 1.5}, {"correction": -0.1}, {"warmup": -1}, {"seed": -1}])
def test_numbers_out_of_range_are_refused(bad):
    with pytest.raises(ParameterError, match=f"{next(iter(bad))}={next(iter(bad.values()))}"):
        Lowest(Y, 4, **bad)


def test_a_state_saved_after_the_last_batch_begins_the_next_epoch():
    straight, resumed = Lowest(Y, 4, warmup=1), Lowest(Y, 4, warmup=1)
    batches = iter(straight)
    for _ in range(len(straight)):
        next(batches)  # as a loader does that counts, and never hears that the epoch is over
    resumed.load_state_dict(straight.state_dict())
    assert [rows.tolist() for rows in resumed] == [[0, 1, 2, 3]] * 3
    assert resumed.epoch == 2


def test_a_loaded_state_survives_that_iter_is_called_twice():
    straight, resumed = Lowest(Y, 4, warmup=2), Lowest(Y, 4, warmup=2)
    next(iter(straight))
    resumed.load_state_dict(straight.state_dict())
    iter(resumed)
    expected = shuffled_pass(10, 0, 0).tolist()[4:]
    assert [row for rows in resumed for row in rows.tolist()] == expected
