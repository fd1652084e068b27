"""Uncertainty follows the specification's hand example, the published notebook's numbers and the intended method."""

import json

import numpy as np
import pytest
import torch
from tests.reference import dynamics
from tests.reference.selectors import chi_square, informed, ordered_tuples
from tests.selectors.test_d2ace import HISTORY, told

from polytag import load_dataset
from polytag.errors import DataError, ParameterError
from polytag.selectors.pressure import quantised_weights
from polytag.selectors.uncertainty import Uncertainty, _levels

EPOCHS = [5, 10, 20, 40, 55, 70, 99, 100]


def hand(epoch=10, **params):
    selector = told(Uncertainty(np.zeros((5, 3)), 2, dtype="float64", **params), HISTORY)
    selector.epoch = epoch
    selector.begin_epoch()
    return selector


def selecting(logits, epoch=10, **params):
    return informed(Uncertainty(np.zeros(logits.shape[1:]), 4, **{"dtype": "float64", **params}), logits, epoch)


def test_hand_codes_and_information():
    selector = hand()
    codes = _levels(selector.uncertainty())
    assert codes.tolist() == [[2, 2, 2], [1, 3, 1], [2, 2, 2], [1, 2, 2], [2, 1, 2]]
    matrix, entropies = selector.correlation_matrix(), np.array([0.673012, 0.950271, 0.500402])
    information = matrix * entropies[:, None]
    np.testing.assert_allclose(matrix.diagonal(), 1.0)
    np.testing.assert_allclose(information[[0, 0, 1], [1, 2, 2]], [0.291103, 0.223144, 0.500402], atol=1e-6)
    np.testing.assert_allclose(information, information.T, atol=2e-6)


def test_hand_scores_of_the_notebook():
    selector = hand(correlation="ones")
    np.testing.assert_allclose(selector.scores(), [4.5, 3.9, 4.5, 3.9, 3.9])
    low = 8 ** (-1.0)
    expected = np.array([1, low, 1, low, low])
    np.testing.assert_allclose(selector.probabilities(), expected / expected.sum())


def test_discrete_from_epoch_5_on():
    early, late = hand(epoch=5, warmup=1, correlation="ones"), hand(epoch=6, warmup=1, correlation="ones")
    np.testing.assert_allclose(early.scores(), 3 * early.uncertainty().sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(late.scores(), [4.5, 3.9, 4.5, 3.9, 3.9])


@pytest.mark.data
def test_equals_the_published_notebook(golden):
    with np.load(golden / "uncertainty.npz") as stored:
        z = dict(stored)
    shape = z["logits"].shape[1:]
    intended, authors = (Uncertainty(np.zeros(shape), 3, dtype="float64", warmup=0, compat=compat) for compat in (None, "authors"))
    for epoch, logits in enumerate(z["logits"]):
        for selector in (intended, authors):
            selector.update(torch.arange(shape[0]), torch.from_numpy(logits))
            selector.epoch = epoch + 1
        if epoch == 0:
            continue
        e, cells = f"e{epoch}/", intended._cells(slice(0, shape[0]))
        np.testing.assert_allclose(cells, z[e + "E"], rtol=1e-10)
        np.testing.assert_allclose(authors.scores(), z[e + "w"], rtol=1e-10)
        scores = authors.scores()
        steps = shape[0] * (scores.max() - scores) / np.ptp(scores)
        clear = abs(steps - np.rint(steps)) > 1e-9  # on a step, the last bit decides which way Q is rounded
        weights = quantised_weights(scores, 8 ** ((epoch - 10) / 90))  # a pressure below 1; the selector would take 1
        np.testing.assert_allclose(weights[clear], z[e + "weights_authors_call"][clear], rtol=1e-10)
        np.testing.assert_allclose(weights, z[e + "weights_authors_call"], rtol=0.011)
        if epoch >= 5:
            assert np.array_equal(_levels(cells), z[e + "codes"])
            matrix = intended.correlation_matrix()
            np.testing.assert_allclose(matrix, z[e + "C"], rtol=1e-10, atol=1e-12)
            entropies = z[e + "MI"].diagonal()
            np.testing.assert_allclose(matrix * entropies[:, None], z[e + "MI"], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(intended.scores(), z[e + "w_mi"], rtol=1e-10)


@pytest.mark.data
def test_schedules_equal_the_published_notebook(golden):
    with np.load(golden / "uncertainty.npz") as z:
        epochs, scores = z["schedule/epochs"].tolist(), z["schedule/scores"]
        stored = {"decay": z["schedule/weights_decay"], "grow": z["schedule/weights_authors"]}
    assert epochs == EPOCHS
    for kind, rows in stored.items():
        selector = Uncertainty(np.zeros((15, 1)), 3, pressure_schedule=kind)
        for epoch, weights in zip(epochs, rows):
            pressure = selector.pressure_at(epoch)
            if epoch < 10:  # the notebook runs beyond both ends
                assert pressure == {"decay": 8.0, "grow": 1.0}[kind]
                pressure = {"decay": 8 ** (1 + 5 / 90), "grow": 8 ** (-5 / 90)}[kind]
            np.testing.assert_allclose(quantised_weights(scores, pressure), weights, rtol=1e-10)


def test_schedules():
    decay, grow = (Uncertainty(np.zeros((5, 3)), 2, pressure_schedule=kind) for kind in ("decay", "grow"))
    np.testing.assert_allclose([decay.pressure_at(e) for e in (0, 9, 10, 55, 100, 200)], [8, 8, 8, 8**0.5, 1, 1])
    np.testing.assert_allclose([grow.pressure_at(e) for e in (0, 9, 10, 55, 100, 200)], [1, 1, 1, 8**0.5, 8, 8])
    short = Uncertainty(np.zeros((5, 3)), 2, warmup=2, epochs_end=12, pressure=4)
    np.testing.assert_allclose([short.pressure_at(e) for e in (2, 7, 12)], [4, 2, 1])


@pytest.mark.parametrize("constant", [False, True])
def test_equals_the_text_on_random_data(rng, constant):
    logits = rng.normal(0, 2, size=(7, 40, 6))
    if constant:
        logits[:, :, 2] = 1.0
    selector = selecting(logits, epoch=41)
    E = dynamics.cells(dynamics.uncertainty, np.vectorize(dynamics.probability)(logits))
    codes, _, matrix = dynamics.mutual_information(E)
    found = selector.correlation_matrix()
    np.testing.assert_allclose(found, matrix, rtol=1e-9, atol=1e-12)
    assert ((found >= 0) & (found <= 1)).all()
    if constant:
        assert np.array_equal(found[2], np.eye(6)[2])
    scores = ((codes + 0.5) / 5 @ matrix).sum(axis=1)
    np.testing.assert_allclose(selector.scores(), scores, rtol=1e-9)
    np.testing.assert_allclose(selector.probabilities(), dynamics.distribution(scores, 8 ** (60 / 90), lowest=0), rtol=1e-9)


def test_authors_switches():
    selector = hand(compat="authors")
    assert (selector.correlation, selector.pressure_schedule) == ("ones", "grow")
    np.testing.assert_allclose(selector.probabilities(), 0.2)  # where the notebook's pressure begins


def test_batches_follow_the_exact_law(rng):
    selector = selecting(rng.normal(0, 2, size=(6, 6, 3)))
    p = selector.probabilities()
    for k in (1, 2, 3):
        statistic, limit = chi_square([selector.draw(k).tolist() for _ in range(3000)], ordered_tuples(p, k))
        assert statistic < limit


def test_probabilities_are_bounded_and_follow_permutations(rng):
    logits, order = rng.normal(0, 2, size=(6, 40, 5)), rng.permutation(40)
    p = selecting(logits).probabilities()
    assert p.min() > 0
    assert p.max() / p.min() == pytest.approx(8)
    np.testing.assert_allclose(selecting(logits[:, order]).probabilities(), p[order], rtol=1e-9)
    np.testing.assert_allclose(selecting(logits, pressure=1).probabilities(), 1 / 40)
    np.testing.assert_allclose(selecting(np.repeat(logits[:, :1], 40, axis=1)).probabilities(), 1 / 40)


def test_rows_never_seen_are_the_hardest(rng):
    selector = Uncertainty(np.zeros((20, 4)), 4, warmup=0)
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 1 / 20)
    for _ in range(6):
        selector.update(torch.arange(12), torch.from_numpy(rng.normal(0, 2, size=(12, 4))))
    selector.epoch = 6
    selector.begin_epoch()
    p = selector.probabilities()
    assert set(p[12:]) == {p.max()}
    assert p[:12].min() < p.max()
    seen_only = Uncertainty(np.zeros((12, 4)), 4, warmup=0)
    seen_only.load_memory({**seen_only.memory(), "window_visits": torch.full((12,), 6),
                           "window_logits": torch.from_numpy(selector._predictions._logits[: 12 * 5])})  # fmt: skip
    np.testing.assert_array_equal(seen_only.correlation_matrix(), selector.correlation_matrix())


def test_resumes_exactly():
    def steps(selector):
        while True:
            for rows in selector:
                selector.update(rows, torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(selector.step)) + rows[:, None] / 9)
                yield rows.tolist()

    first, second = (Uncertainty(np.zeros((30, 3)), 4, warmup=3, seed=seed, history=h) for seed, h in ((1, "running"), (2, "running")))
    run = steps(first)
    for _ in range(37):
        next(run)
    state = first.state_dict()
    plain = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
    second.load_state_dict({**state, **json.loads(json.dumps(plain))})
    again = steps(second)
    assert [next(again) for _ in range(60)] == [next(run) for _ in range(60)]


@pytest.mark.parametrize(("history", "numbers"), [("window", 5), ("running", 2)])
def test_memory_stays_small(history, numbers):
    state = Uncertainty(np.zeros((1000, 200)), 128, history=history).state_dict()
    sizes = [part.nbytes for part in state.values() if isinstance(part, torch.Tensor)]
    assert sum(sizes) <= numbers * 1000 * 200 * 2 + 3 * 8 * 1000


def test_a_nan_raises_instead_of_making_all_rows_equal():
    selector = hand()
    with pytest.raises(DataError, match="instance 3"):
        selector.update(torch.tensor([1, 3]), torch.tensor([[0.0, 1, 2], [0, np.nan, 0]]))
    selector._predictions._logits[10] = np.nan
    with pytest.raises(DataError, match="instance 2"):
        selector.begin_epoch()


@pytest.mark.data
def test_draws_uncertain_rows_on_real_data(real_data, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data = load_dataset("yeast", "train")
    x, y = torch.tensor(np.asarray(data.X), dtype=torch.float32), torch.tensor(np.asarray(data.Y), dtype=torch.float32)
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], dim=1)
    weight = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=1e-2)
    selector, picked = Uncertainty(y, 128, seed=0), torch.zeros(len(y))
    for epoch in range(12):
        for rows in selector:
            logits = x[rows] @ weight.T
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            optimizer.step()
            selector.update(rows, logits.detach())
            picked[rows] += epoch >= 10
    p, sums = selector.probabilities(), selector.uncertainty().sum(axis=1)
    assert 4 < p.max() / p.min() <= 8
    often, seldom = p > np.quantile(p, 0.9), p < np.quantile(p, 0.5)
    assert sums[often].mean() > 1.1 * sums[seldom].mean()
    assert picked[often].mean() > 1.3 * picked[seldom].mean()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pressure": 0.5}, "0.5"),
        ({"epochs_end": 10}, "epochs_end=10"),
        ({"pressure_schedule": "flat"}, "flat"),
        ({"correlation": "pearson"}, "pearson"),
        ({"recent_change": 1.5}, "1.5"),
        ({"window": 0}, "0"),
        ({"compat": "paper"}, "paper"),
    ],
)
def test_impossible_parameters(params, message):
    with pytest.raises(ParameterError, match=message):
        Uncertainty(np.zeros((5, 3)), 2, **params)
