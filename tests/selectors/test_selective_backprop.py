"""Selective backprop accepts by the rank of the loss, batch after batch as the slow form does, and forgets nothing when resumed."""

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference.candidates import batches_of, mean_bce, seconds_a_step, selective_backprop
from tests.reference.selectors import chi_square

from polytag.errors import DataError, ParameterError
from polytag.selectors.selective_backprop import SelectiveBackprop


def passes(n, seed):
    number = 0
    while True:
        yield np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2, number))).permutation(n).tolist()
        number += 1


def make(n, b, seed=0, **params):
    return SelectiveBackprop(np.zeros((n, 1)), b, seed=seed, **{"warmup": 0, **params})


@pytest.mark.parametrize(("n", "b"), [(40, 6), (9, 8), (10, 3), (5, 1)])
@pytest.mark.parametrize("params", [{}, {"beta": 0}, {"beta": 0.5, "history": 4}, {"beta": 9, "rounds": 3}, {"beta": 60, "rounds": 2}])
def test_batches_equal_the_slow_form(n, b, params, rng):
    logits = torch.from_numpy(rng.normal(size=(n, 1)))
    losses = mean_bce(logits, np.zeros((n, 1))).tolist()
    selector = make(n, b, seed=4, **params)
    settings = {"beta": 2, "history": 1024, "rounds": 24 if "beta" not in params else selector.rounds, **params}
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(4, spawn_key=(1,))))
    expected = selective_backprop(losses, b, passes=passes(n, 4), generator=generator, batches=25, **settings)
    found = [rows for rows, _ in batches_of(selector, lambda rows: logits[rows], 25)]
    assert found == expected
    assert all(len(set(rows)) == b for rows in found)


def test_hand_example():
    selector = make(5, 2)
    selector._recent = np.array([0.287682, 0.320070, 0.422837, 0.602503, 0.236299])
    percentiles = selector.percentiles(selector._recent)
    np.testing.assert_allclose(percentiles, [0.4, 0.6, 0.8, 1, 0.2])
    np.testing.assert_allclose(percentiles**selector.beta, [0.16, 0.36, 0.64, 1, 0.04])


def test_law_of_acceptance():
    """Of three candidates that make the whole history, the hardest is accepted, the others with (2/3)^2 and (1/3)^2."""
    seen = []
    for seed in range(1500):
        selector = make(12, 3, seed=seed)
        candidates = next(iter(selector))
        selector.screen(candidates, candidates[:, None].float())
        accepted = set(selector._waiting) or set(candidates.tolist())  # all three accepted: they left as the batch
        seen.append([int(row in accepted) for row in sorted(candidates.tolist())])
    chances = {(i, j, 1): (1 / 9 if i else 8 / 9) * (4 / 9 if j else 5 / 9) for i in (0, 1) for j in (0, 1)}
    statistic, limit = chi_square(seen, chances)
    assert statistic < limit


def test_a_third_is_accepted_with_beta_two(rng):
    selector, looked, got = make(4000, 50), 0, 0
    logits = torch.from_numpy(rng.normal(size=(4000, 1)))
    for drawn in selector:
        rows = drawn
        while selector.screening:
            looked += len(rows)
            rows = selector.screen(rows, logits[rows])
        got += len(rows)
        selector.update(rows, logits[rows])
    assert got / looked == pytest.approx(1 / 3, rel=0.05)


def test_equal_losses_are_all_accepted():
    selector = make(20, 4)
    for drawn in selector:
        assert selector.screening
        rows = selector.screen(drawn, torch.zeros(len(drawn), 1))
        assert rows.tolist() == drawn.tolist()
        selector.update(rows, torch.zeros(len(rows), 1))
    assert sorted(row for rows, _ in batches_of(make(20, 4), lambda rows: torch.zeros(len(rows), 1), 5) for row in rows) == list(range(20))


def test_warmup_fills_the_history_and_chosen_rows_do_not(rng):
    logits = torch.from_numpy(rng.normal(size=(20, 1)))
    selector = make(20, 5, warmup=1, history=12)
    first = batches_of(selector, lambda rows: logits[rows], 4)
    order = [row for rows, _ in first for row in rows]
    assert sorted(order) == list(range(20))
    np.testing.assert_allclose(selector._recent, mean_bce(logits[order], np.zeros((20, 1)))[-12:], rtol=1e-6)
    looks = 0
    rows = next(iter(selector))
    while selector.screening:
        rows, looks = selector.screen(rows, logits[rows]), looks + 1
    before = selector._recent.copy()
    selector.update(rows, logits[rows])
    np.testing.assert_array_equal(selector._recent, before)
    assert looks >= 1


@pytest.mark.parametrize(("n", "b"), [(23, 4), (9, 8)])
def test_goes_on_from_any_step(n, b, rng):
    logits = torch.from_numpy(rng.normal(size=(n, 1)))
    whole = batches_of(make(n, b, seed=1), lambda rows: logits[rows], 40)
    for stop in range(1, 25, 1 if n > 10 else 4):
        first, second = make(n, b, seed=1), make(n, b, seed=2)
        batches_of(first, lambda rows: logits[rows], stop)
        second.load_state_dict(first.state_dict())
        assert batches_of(second, lambda rows: logits[rows], 40 - stop) == whole[stop:]


def test_a_batch_of_everything_is_a_permutation():
    for rows, _ in batches_of(make(7, 9), lambda rows: torch.zeros(len(rows), 1), 4):
        assert sorted(rows) == list(range(7))


def test_last_batch_may_be_the_remainder(rng):
    logits = torch.from_numpy(rng.normal(size=(30, 1)))
    sizes = [len(rows) for rows, _ in batches_of(make(30, 8, last_batch="remainder"), lambda rows: logits[rows], 8)]
    assert sizes == [8, 8, 8, 6] * 2


def test_nan_logits_of_candidates_are_refused_or_hardest():
    selector, tolerant = make(12, 4), make(12, 4, on_nonfinite="max")
    candidates = next(iter(selector))
    logits = torch.zeros(4, 1)
    logits[2] = torch.nan
    with pytest.raises(DataError, match=f"instance {int(candidates[2])} "):
        selector.screen(candidates, logits)
    tolerant._recent = np.array([5.0])
    assert next(iter(tolerant)).tolist() == candidates.tolist()
    tolerant.screen(candidates, logits)
    assert int(candidates[2]) in tolerant._waiting
    assert tolerant._recent.tolist() == pytest.approx([5.0, np.log(2), np.log(2), 5.0, np.log(2)])


@pytest.mark.parametrize(
    "params", [{"beta": -1}, {"beta": np.nan}, {"beta": np.inf}, {"history": 0}, {"rounds": 1}, {"correction": 0.5}, {"warmup": -1}]
)
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        make(9, 2, **params)


def test_a_step_on_millions_of_rows():
    assert seconds_a_step(SelectiveBackprop(sparse.csr_array((3_000_000, 4)), 64, warmup=0)) < 0.01
