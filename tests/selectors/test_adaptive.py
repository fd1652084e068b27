"""Adaptive follows the specification's hand example, the published code's numbers and the exact law of its draws."""

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference.selectors import adaptive_probabilities, chi_square, ordered_tuples

from polytag.errors import DataError, ParameterError
from polytag.selectors import Adaptive

X = np.array([[0.0], [1.0], [2.1], [5.0], [6.2]])
Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
MEANS = np.array([0.2, 0.4, 0.9, 0.3, 0.1])


def logits_with_losses(y, means):
    """Return logits whose mean binary cross-entropy is ``means`` for each row."""
    wanted = torch.tensor(means, dtype=torch.float64)[:, None].expand(len(means), y.shape[1])
    return torch.log(torch.expm1(wanted)) * torch.from_numpy(1 - 2.0 * y)  # softplus(z) = wanted where y = 0, mirrored where y = 1


def golden_numbers(folder):
    with np.load(folder / "adaptive.npz") as numbers:
        return dict(numbers)


def hand(**params):
    selector = Adaptive(Y, 2, x=X, neighbours=2, warmup=0, **params)
    selector.update(torch.arange(5), logits_with_losses(Y, MEANS))
    return selector


def known(losses, **params):
    selector = Adaptive(np.zeros((len(losses), 1)), 2, imbalance_weight=False, warmup=0, **params)
    selector.losses.record(np.arange(len(losses)), np.array(losses, dtype=float))
    selector.begin_epoch()
    return selector


def test_hand_example_losses_and_levels():
    selector = hand()
    np.testing.assert_allclose(selector.losses.values, [0.3, 0.6, 0.9, 0.6, 0.1], rtol=1e-12)
    assert (5 * selector.losses.exponents()).round().tolist() == [2, 4, 5, 4, 1]
    plain = Adaptive(Y, 2, imbalance_weight=False, warmup=0)
    plain.update(torch.arange(5), logits_with_losses(Y, MEANS))
    assert (5 * plain.losses.exponents()).round().tolist() == [2, 3, 5, 2, 1]


@pytest.mark.parametrize(
    ("pressure", "expected"),
    [
        (1, [0.2, 0.2, 0.2, 0.2, 0.2]),
        (2, [0.165967, 0.218995, 0.251559, 0.218995, 0.144483]),
        (8, [0.102704, 0.235951, 0.357635, 0.235951, 0.067759]),
        (16, [0.077428, 0.234717, 0.408667, 0.234717, 0.044471]),
        (32, np.array([4, 16, 32, 16, 2]) / 70),
        (64, [0.041464, 0.218850, 0.502786, 0.218850, 0.018048]),
    ],
)
def test_hand_example_probabilities(pressure, expected):
    np.testing.assert_allclose(hand(pressure=pressure).probabilities(), expected, atol=5e-7)


def test_hand_example_after_the_hardest_row_improves():
    for scope, expected in (("global", np.array([8, 32, 8, 32, 2]) / 82), ("at_visit", np.array([4, 16, 8, 16, 2]) / 46)):
        selector = hand(pressure=32, delta_scope=scope)
        selector.update(torch.tensor([2]), logits_with_losses(Y[2:3], [0.3]))
        np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-9)


def test_hand_example_pairs():
    chances = ordered_tuples(hand(pressure=32).probabilities(), 2)
    assert chances[(2, 1)] == pytest.approx(0.192481, abs=5e-7)
    assert chances[(2, 1)] + chances[(1, 2)] == pytest.approx(0.327931, abs=5e-7)


@pytest.mark.parametrize("case", ["a", "b"])
@pytest.mark.parametrize("pressure", [2, 8, 16, 64])
def test_golden_probabilities(golden, case, pressure):
    numbers = golden_numbers(golden)
    losses, n = numbers[f"probabilities/{case}/loss"], len(numbers[f"probabilities/{case}/loss"])
    selector = known(losses, pressure=pressure)
    assert np.array_equal((n * selector.losses.exponents()).round(), numbers[f"probabilities/{case}/Q_spec"])
    authors = known(losses, pressure=pressure, q_clip=False)
    assert np.array_equal((n * authors.losses.exponents()).round(), numbers[f"probabilities/{case}/Q_authors"])
    np.testing.assert_allclose(authors.probabilities(), numbers[f"probabilities/{case}/p_{pressure}"], rtol=1e-12)


def test_golden_overflow(golden):
    numbers = golden_numbers(golden)
    losses, n = numbers["overflow/loss"], int(numbers["overflow/n"])
    selector = known(losses, q_clip=False)
    np.testing.assert_allclose(8 ** selector.losses.exponents(), numbers["overflow/weights_8"], rtol=1e-12)
    assert selector.losses.exponents().max() == (n + 1) / n
    assert known(losses).losses.exponents().max() == 1
    assert len(selector.draw(5)) == 5


def test_golden_steps(golden):
    numbers = golden_numbers(golden)
    rows, losses = numbers["steps/rows"], numbers["steps/loss"]
    for scope, name in (("at_visit", "stored_weights"), ("global", "global_weights")):
        selector = known(np.full(16, -1.0), delta_scope=scope)
        for step in range(len(rows)):
            selector.losses.record(rows[step], losses[step])
            seen = selector.losses.values >= 0
            np.testing.assert_allclose(8 ** selector.losses.exponents()[seen], numbers[f"steps/{name}"][step][seen], rtol=1e-12)
        assert seen.all()


@pytest.mark.parametrize("sampler", ["rejection", "dense"])
@pytest.mark.parametrize("pressure", [1, 8, 64])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_both_samplers_follow_the_exact_law(sampler, pressure, k):
    losses = [0.3, 0.6, 0.9, 0.6, 0.1]
    selector = known(losses, pressure=pressure, sampler=sampler, seed=1)
    expected = adaptive_probabilities(losses, pressure)
    np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-12)
    statistic, limit = chi_square([selector.draw(k).tolist() for _ in range(6000)], ordered_tuples(expected, k))
    assert statistic < limit


def test_proposals_a_draw_needs_are_as_predicted():
    selector = known([0.3, 0.6, 0.9, 0.6, 0.1] * 400, pressure=32, sampler="rejection")
    for _ in range(300):
        selector.draw(50)
    e = selector.losses.exponents()
    assert selector.proposals.per_row == pytest.approx(32 / (32**e).mean(), rel=0.1)


def test_all_rows_can_be_drawn_and_draws_do_not_repeat(rng):
    selector = known(rng.gamma(1.0, size=3000), seed=0)
    drawn = [selector.draw(100) for _ in range(400)]
    assert all(len(rows.unique()) == 100 for rows in drawn)
    assert len(torch.cat(drawn).unique()) == 3000


def test_bounds_monotony_and_invariances(rng):
    losses = rng.gamma(1.0, size=200)
    losses[0] = 0
    p = known(losses, pressure=16).probabilities()
    assert p.max() / p.min() == pytest.approx(16)
    order = np.argsort(losses)
    assert (np.diff(p[order]) >= -1e-18).all()
    np.testing.assert_allclose(known(4 * losses, pressure=16).probabilities(), p, rtol=1e-12)
    shuffled = rng.permutation(200)
    np.testing.assert_allclose(known(losses[shuffled], pressure=16).probabilities(), p[shuffled], rtol=1e-12)
    outlier = losses.copy()
    outlier[losses.argmax()] *= 2
    others = np.arange(200) != losses.argmax()
    flatter = known(outlier, pressure=16).probabilities()[others]
    assert flatter.max() / flatter.min() < p[others].max() / p[others].min()


def test_rows_never_seen_are_the_hardest():
    p = known([0.5, -1, 0.1, -1]).probabilities()
    assert p[1] == p[3] == p[0] > p[2]


def test_refresh_each_epoch_keeps_the_distribution_within_it():
    selector = known([0.5, 0.2, 0.1, 0.4], refresh="epoch")
    before = selector.probabilities()
    selector.losses.record(np.array([2]), np.array([3.0]))
    assert np.array_equal(selector.probabilities(), before)
    selector.begin_epoch()
    assert selector.probabilities().argmax() == 2


def test_levels_and_quantile():
    coarse = known([0.05, 0.2, 0.9, 1.0], levels=2)
    assert coarse.losses.exponents().tolist() == [0.5, 0.5, 1, 1]
    losses = np.append(np.linspace(0.1, 1, 99), 100.0)
    robust = known(losses, max_quantile=0.9).losses.exponents()
    assert robust[-1] == 1
    assert np.median(robust) > 0.5 > np.median(known(losses).losses.exponents())


def test_compat_is_the_published_script():
    selector = Adaptive(Y, 2, compat="authors")
    assert selector.imbalance is None
    assert (selector.refresh, selector.delta_scope, selector.q_clip, selector.warmup_order) == ("epoch", "at_visit", False, "sequential")
    assert torch.cat(list(selector)).tolist() == [0, 1, 2, 3, 4]


def test_weights_can_be_given_and_features_may_be_sparse():
    weights = hand().imbalance
    assert np.array_equal(Adaptive(Y, 2, imbalance_weight=weights).imbalance, weights)
    assert np.array_equal(Adaptive(Y, 2, x=sparse.csr_array(X), neighbours=2).imbalance, weights)
    with pytest.raises(DataError, match="positive imbalance weights"):
        Adaptive(Y, 2, imbalance_weight=weights[1:])


@pytest.mark.parametrize(
    "params",
    [
        {"pressure": 0.99},
        {"pressure": np.inf},
        {"levels": 0},
        {"max_quantile": 0},
        {"refresh": "never"},
        {"compat": "2016"},
        {"sampler": "x"},
    ],
)
def test_impossible_parameters(params):
    with pytest.raises(ParameterError):
        Adaptive(Y, 2, x=X, **params)


def test_features_are_needed_for_the_weights():
    with pytest.raises(ParameterError, match="imbalance_weight=False"):
        Adaptive(Y, 2)


def test_trains_like_a_plain_loop_without_pressure():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 3, generator=generator), torch.randint(0, 2, (40, 2), generator=generator).float()

    def train(batches, tell):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.Adam(model.parameters())
        for rows in batches:
            logits = model(x[rows])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            tell(rows, logits)
        return model.weight.detach()

    selector = Adaptive(y, 8, x=x, pressure=1, seed=0)
    taken = []
    ours = train((rows for _ in range(6) for rows in selector), lambda rows, logits: (taken.append(rows), selector.update(rows, logits)))
    assert torch.equal(ours, train(taken, lambda rows, logits: None))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_logits_and_rows_may_live_on_a_gpu():
    near, far = Adaptive(Y, 2, x=X), Adaptive(Y, 2, x=torch.from_numpy(X).cuda())
    near.update(torch.arange(5), logits_with_losses(Y, MEANS))
    far.update(torch.arange(5).cuda(), logits_with_losses(Y, MEANS).cuda())
    np.testing.assert_allclose(far.losses.values, near.losses.values, rtol=1e-12)
