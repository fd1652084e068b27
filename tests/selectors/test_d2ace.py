"""D2ACE follows the specification's hand example, the published code's numbers and the exact law of its mixture."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from tests.reference import dynamics
from tests.reference.selectors import chi_square, informed, neighbours, ordered_tuples

from polytag import load_dataset
from polytag.errors import DataError, ParameterError
from polytag.selectors.d2ace import D2ACE

X = np.array([[0.0], [1.0], [2.1], [5.0], [6.2]])
Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
P2 = np.array([[0.75, 0.5, 0.25], [0.75, 0.25, 0.25], [0.5, 0.5, 0.5], [0.75, 0.25, 0.5], [0.25, 0.25, 0.25]])
P3 = np.array([[0.75, 0.75, 0.25], [0.875, 0.5, 0.125], [0.5, 0.25, 0.75], [0.875, 0.25, 0.25], [0.25, 0.125, 0.25]])
HISTORY = np.stack([np.full((5, 3), 0.5), P2, P3])
E = [[0.468139] * 3, [0.365532, 0.625, 0.365532], [0.5, 0.468139, 0.468139], [0.365532, 0.468139, 0.468139], [0.468139, 0.365532, 0.468139]]
H = [
    [0.236875, 0.20625, 0.236875],
    [0.1075, 0.38625, 0.1075],
    [0.5, 0.20625, 0.20625],
    [0.1075, 0.236875, 0.61875],
    [0.236875, 0.1075, 0.236875],
]
HAND = {
    ("uncertainty", "bounded"): {
        "v": [1.277714, 1.324526, 1.276766], "K": (0.667980, 0.713209, 0), "C0": [0.419958, 0.280524, 0.299518], "S3": (0.719476, 1),
        "score": [3.034125, 3.056448, 3.093185, 2.618544, 1.680009], "p": [0.259793, 0.259793, 0.259793, 0.171399, 0.049222],
    },
    ("hardness", "bounded"): {
        "v": [1.209898, 1.172761, 1.256434], "K": (0.359726, 0.453306, 0), "C0": [0.551562, 0.198411, 0.250026], "S3": (0.801589, 1),
        "score": [1.354571, 1.301152, 1.970059, 2.066956, 0.710284], "p": [0.142246, 0.142246, 0.326796, 0.326796, 0.061916],
    },
    ("hardness", "code"): {
        "v": [1.970078, 1.783828, 1.941338], "K": (0.642467, 0.705868, 0), "C0": [0.425834, 0.273584, 0.300582], "S3": (0.726416, 1),
        "score": [10.645040, 9.824367, 11.753816, 11.008971, 6.358437], "p": [0.188019, 0.188019, 0.284984, 0.284984, 0.053994],
    },
}  # fmt: skip


def told(selector, history):
    for proba in history:
        selector.update(torch.arange(len(proba)), torch.logit(torch.from_numpy(np.asarray(proba))))
    return selector


def hand(epoch=10, **params):
    selector = told(D2ACE(Y, 2, x=X, **{"neighbours": 2, "dtype": "float64", **params}), HISTORY)
    selector.epoch = epoch
    selector.begin_epoch()
    return selector


def random_case(seed=0, n=30, q=6, visits=7):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)), (rng.random((n, q)) < np.linspace(0.6, 0.1, q)).astype(float)
    return x, y, rng.normal(0, 2, size=(visits, n, q))


def selecting(x, y, logits, epoch=10, **params):
    return informed(D2ACE(y, params.pop("batch_size", 4), x=x, **{"dtype": "float64", **params}), logits, epoch)


def test_hand_metrics():
    selector = hand()
    np.testing.assert_allclose(selector.uncertainty(), E, atol=1e-6)
    np.testing.assert_allclose(selector.hardness(), H, atol=1e-6)
    np.testing.assert_allclose(hand(hardness="code").hardness()[1], [0.9675, 1.15875, 0.9675], atol=1e-6)
    np.testing.assert_allclose(hand(hardness="readme").hardness()[2], -np.log([0.5, 0.75, 0.75]) * [1, 0.825, 0.825], atol=1e-6)
    assert selector.uncertainty().dtype == selector.hardness().dtype == np.float32


@pytest.mark.parametrize("which", HAND, ids=" ".join)
def test_hand_scores(which):
    metric, variant = which
    expected, selector = HAND[which], hand(hardness=variant, mixture_share=1 if metric == "uncertainty" else 0)
    weights, matrix, shares, scores = selector.scores(metric)
    np.testing.assert_allclose(weights, expected["v"], atol=1e-6)
    cosine = matrix / matrix.diagonal()[:, None]
    np.testing.assert_allclose(cosine[[0, 0, 1], [1, 2, 2]], expected["K"], atol=1e-6)
    np.testing.assert_allclose(matrix[0], expected["C0"], atol=1e-6)
    np.testing.assert_allclose(shares, [1] * 6 + list(expected["S3"]), atol=1e-6)  # row 3 has labels 0 and 2
    np.testing.assert_allclose(scores, expected["score"], atol=1e-5)
    np.testing.assert_allclose(selector.probabilities(), expected["p"], atol=1e-6)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.7, [0.224529, 0.224529, 0.279894, 0.218018, 0.053030]),
        (0.5, [0.201020, 0.201020, 0.293294, 0.249098, 0.055569]),
        (0.3, [0.177510, 0.177510, 0.306695, 0.280177, 0.058108]),
    ],
)
def test_hand_mixtures(share, expected):
    np.testing.assert_allclose(hand(mixture_share=share).probabilities(), expected, atol=1e-6)


def test_selection_begins_with_the_values_of_the_epoch_before():
    np.testing.assert_allclose(hand(epoch=10).probabilities(), [0.224529, 0.224529, 0.279894, 0.218018, 0.053030], atol=1e-6)
    assert np.array_equal(hand(epoch=9).probabilities(), np.full(5, 0.2))


def test_schedules():
    selector = D2ACE(Y, 2, x=X)
    pressures = [selector.pressure_at(e) for e in (0, 9, 10, 20, 40, 55, 70, 99, 100, 150)]
    np.testing.assert_allclose(pressures, [8, 8, 8, 6.3496, 4, 2.8284, 2, 1.0234, 1, 1], atol=5e-5)
    shares = [selector.share_at(e) for e in (0, 10, 20, 40, 55, 70, 90)]
    np.testing.assert_allclose(shares, [0.7, 0.7, 19 / 30, 0.5, 0.4, 0.3, 0.3], rtol=1e-12)
    constant = D2ACE(Y, 2, x=X, pressure_end=8, mixture_share=0.4)
    assert {constant.pressure_at(e) for e in range(120)} == {8.0}
    assert {constant.share_at(e) for e in range(120)} == {0.4}
    np.testing.assert_allclose(hand(epoch=101).probabilities(), 0.2)


@pytest.mark.data
@pytest.mark.parametrize("variant", ["bounded", "code"])
def test_equals_the_published_code(golden, variant):
    with np.load(golden / "d2ace.npz") as stored:
        z = dict(stored)
    x, y, seen = z["X"], z["Y"], z["visited"].astype(bool)
    selector = D2ACE(y, 4, x=x, dtype="float64", warmup=0, hardness=variant)
    prefix = "bounded_" if variant == "bounded" else ""
    for number, epoch in enumerate(z["epoch_number"]):
        e, rows = f"e{number:02}/", np.flatnonzero(seen[number])
        selector.update(torch.from_numpy(rows), torch.from_numpy(z["logits"][number][rows]))
        selector.epoch = int(epoch) + 1
        selector.begin_epoch()
        cells = slice(0, len(y))
        np.testing.assert_allclose(selector._instability, z[e + "F"], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(selector._cells("hardness", cells), z[e + ("h" if variant == "code" else "h_bounded")], rtol=1e-8)
        assert_scores(selector.scores("hardness"), y, [z[f"{e}{prefix}{part}_h"] for part in ("v", "C", "S", "score")])
        p_h = selector._components[1]
        np.testing.assert_allclose(p_h, z[f"{e}{prefix}p_h"], rtol=1e-8)
        if number == 0:  # the published code has NaN in E after one visit
            assert np.isnan(z[e + "E"]).all()
            continue
        np.testing.assert_allclose(selector._cells("uncertainty", cells), z[e + "E"], rtol=1e-8)
        assert_scores(selector.scores("uncertainty"), y, [z[f"{e}{part}_E"] for part in ("v", "C", "S", "score")])
        np.testing.assert_allclose(selector._components[0], z[e + "p_E"], rtol=1e-8)
        assert selector.share_at(int(epoch)) == pytest.approx(float(z[e + "beta"]), rel=1e-12)
        np.testing.assert_allclose(selector.probabilities(), z[f"{e}{prefix}P"], rtol=1e-8)


def assert_scores(found, y, expected):
    v, matrix, shares, scores = expected
    np.testing.assert_allclose(found.label_weights, v, rtol=1e-8)
    np.testing.assert_allclose(found.correlation, matrix, rtol=3e-8, atol=1e-12)  # the published code adds 1e-8 to the norms
    np.testing.assert_allclose(found.shares, shares[y == 1], rtol=3e-8)
    np.testing.assert_allclose(found.rows, scores, rtol=1e-8)


@pytest.mark.data
def test_pressure_equals_the_published_code(golden):
    with np.load(golden / "d2ace.npz") as z:
        selector, scores = D2ACE(z["Y"], 4, x=z["X"]), z["schedule/scores"]
        for epoch, weights in zip(z["schedule/epochs"], z["schedule/weights"]):
            found = dynamics.distribution(scores, selector.pressure_at(int(epoch)))
            np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-9)


@pytest.mark.parametrize("variant", ["bounded", "code", "readme"])
def test_equals_the_text_on_random_data(variant):
    x, y, logits = random_case()
    selector = selecting(x, y, logits, epoch=41, hardness=variant)
    proba = np.vectorize(dynamics.probability)(logits)
    steadiness = dynamics.cells(dynamics.instability, proba)
    hardness = dynamics.cells(lambda history, label, f: dynamics.hardness(label, history[-1], f, variant), proba, y, steadiness)
    present, expected = dynamics.present(y, neighbours(x, 6)), np.zeros(len(y))
    for share, M in ((dynamics.share_at(40), dynamics.cells(dynamics.uncertainty, proba)), (1 - dynamics.share_at(40), hardness)):
        S = dynamics.shares(dynamics.correlation(M, y), present)
        expected += share * dynamics.distribution(dynamics.scores(M, y, dynamics.label_weights(M), S), dynamics.pressure_at(40))
    np.testing.assert_allclose(selector.probabilities(), expected, rtol=1e-9)
    for cells in (selector.uncertainty(), selector._instability, selector.hardness() if variant == "bounded" else selector.uncertainty()):
        assert ((cells >= 0) & (cells <= 1)).all()


@pytest.mark.parametrize("container", [sparse.csr_array, torch.from_numpy])
def test_features_of_any_kind(container):
    x, y, logits = random_case()
    assert np.array_equal(selecting(container(x), y, logits).probabilities(), selecting(x, y, logits).probabilities())


def test_ablations_change_what_they_say():
    x, y, logits = random_case()
    plain = {metric: selecting(x, y, logits).scores(metric) for metric in ("uncertainty", "hardness")}
    without = selecting(x, y, logits, label_weights=False)
    assert (without.scores("hardness").label_weights == 1).all()
    np.testing.assert_array_equal(without.scores("hardness").correlation, plain["hardness"].correlation)
    alone = selecting(x, y, logits, correlation="none", label_weights=False)
    np.testing.assert_allclose(alone.scores("uncertainty").rows, alone.uncertainty().sum(axis=1), rtol=1e-6)
    everywhere = selecting(None, y, logits, correlation="global").scores("hardness")
    np.testing.assert_allclose(everywhere.shares, 1.0)
    assert (everywhere.rows >= plain["hardness"].rows - 1e-12).all()
    only = {share: selecting(x, y, logits, mixture_share=share).probabilities() for share in (0, 0.5, 1)}
    np.testing.assert_allclose(only[0.5], (only[0] + only[1]) / 2, rtol=1e-12)
    means = selecting(x, y, logits, mean_weight=1.0)
    np.testing.assert_allclose(means.scores("hardness").label_weights, np.exp(means.hardness().mean(axis=0, dtype=float)), rtol=1e-6)
    changes = selecting(x, y, logits, recent_change=1.0, window=2)
    last = [np.vectorize(dynamics.probability)(one) for one in logits[-2:]]
    np.testing.assert_allclose(changes.uncertainty(), abs(last[1] - last[0]), atol=1e-6)
    newest = selecting(x, y, logits, alpha=1.0, hardness="bounded")
    np.testing.assert_allclose(newest.hardness(), abs(y - last[1]) * (1 - abs(last[1] - last[0])), atol=1e-6)


def test_authors_switches():
    selector = D2ACE(Y, 2, x=X, compat="authors", warmup=1)
    assert (selector.variant, selector.warmup_order, selector.last_batch) == ("code", "sequential", "remainder")
    batches = [told_batch(selector, rows) for _ in range(2) for rows in selector]
    assert batches[:3] == [[0, 1], [2, 3], [4]]
    assert [len(rows) for rows in batches[3:]] == [2, 2, 1]


def told_batch(selector, rows):
    selector.update(rows, torch.randn(len(rows), 3, generator=torch.Generator().manual_seed(int(rows.sum()))))
    return rows.tolist()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_batches_follow_the_exact_law(share):
    selector = hand(mixture_share=share)
    p = selector.probabilities()
    for k in (1, 2, 3):
        statistic, limit = chi_square([selector.draw(k).tolist() for _ in range(3000)], ordered_tuples(p, k))
        assert statistic < limit


def test_batches_of_larger_sets_follow_the_law_too():
    x, y, logits = random_case(n=40)
    selector = selecting(x, y, logits, batch_size=1)
    drawn = np.bincount(np.concatenate([selector.draw(1).numpy() for _ in range(6000)]), minlength=40)
    expected = selector.probabilities() * 6000
    assert ((drawn - expected) ** 2 / expected).sum() < 72.1  # 99.9 % of chi-square with 39 degrees of freedom


def test_bounds_of_the_probabilities():
    x, y, logits = random_case()
    for epoch, pressure in ((10, 8.0), (41, 4.0)):
        p = selecting(x, y, logits, epoch=epoch).probabilities()
        assert p.min() > 0
        assert p.sum() == pytest.approx(1)
        assert p.max() / p.min() <= pressure
    np.testing.assert_allclose(selecting(x, y, logits, pressure=1).probabilities(), 1 / 30)


def test_permuted_rows_give_permuted_probabilities(rng):
    x, y, logits = random_case()
    order = rng.permutation(len(y))
    permuted = selecting(x[order], y[order], logits[:, order]).probabilities()
    np.testing.assert_allclose(permuted, selecting(x, y, logits).probabilities()[order], rtol=1e-9)


def test_higher_uncertainty_never_lowers_a_chance():
    x, y, logits = random_case()
    selector = selecting(x, y, logits, mixture_share=1)
    order = np.argsort(selector.scores("uncertainty").rows)
    assert (np.diff(selector.probabilities()[order]) >= -1e-15).all()


def test_rows_never_seen_are_the_hardest():
    x, y, logits = random_case()
    selector = D2ACE(y, 4, x=x, warmup=0, dtype="float64")
    selector.begin_epoch()
    np.testing.assert_allclose(selector.probabilities(), 1 / 30)
    seen = np.arange(0, 30, 2)
    for one in logits:
        selector.update(torch.from_numpy(seen), torch.from_numpy(one[seen]))
    selector.begin_epoch()
    p = selector.probabilities()
    scores = selector.scores("hardness")
    assert len(set(p[1::2])) == 1
    assert p[1] >= p.max() * (1 - 1e-12)
    np.testing.assert_allclose(scores.rows[1::2], scores.rows[seen].max())
    np.testing.assert_allclose(scores.label_weights, dynamics.label_weights(selector._cells("hardness", slice(0, 30))[seen]), rtol=1e-12)


def test_unknown_labels_are_neither_relevant_nor_hard():
    x, y, logits = random_case()
    y[3, 1], y[7, :] = np.nan, np.nan
    selector = selecting(x, y, logits)
    hardness = selector.hardness()
    assert hardness[3, 1] == 0
    assert not hardness[7].any()
    assert (hardness[3, [0, 2]] > 0).all()
    zeros = selecting(x, np.nan_to_num(y), logits)
    np.testing.assert_array_equal(selector.scores("uncertainty").rows, zeros.scores("uncertainty").rows)


@pytest.mark.parametrize("share", [0, 1])
def test_a_nan_raises_instead_of_making_all_rows_equal(share):
    selector = hand(mixture_share=share)
    with pytest.raises(DataError, match="instance 3"):
        selector.update(torch.tensor([1, 3]), torch.tensor([[0.0, 1, 2], [0, np.nan, 0]]))
    selector._predictions._logits[:] = np.where(np.arange(25)[:, None] // 5 == 2, np.nan, 1.0)
    with pytest.raises(DataError, match="instance 2"):
        selector.begin_epoch()


def test_nan_logits_can_be_taken_as_wrong():
    x, y, logits = random_case()
    logits[-1, 4, 2] = np.nan
    selector = selecting(x, y, logits, on_nonfinite="max", alpha=0.0)
    np.testing.assert_allclose(selector.hardness()[4], 1.0, atol=1e-5)
    assert np.isfinite(selector.probabilities()).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_certain_and_right_is_uniform(dtype):
    x, y, _ = random_case()
    right = np.repeat((2000 * y - 1000)[None], 6, axis=0)
    np.testing.assert_allclose(selecting(x, y, right, dtype=dtype).probabilities(), 1 / 30, rtol=1e-12)
    wrong_once = right.copy()
    wrong_once[:, 4, 1] *= -1
    p = selecting(x, y, wrong_once, dtype=dtype, mixture_share=0).probabilities()
    assert p.argmax() == 4


@pytest.mark.parametrize("history", ["window", "running"])
@pytest.mark.parametrize("stop", [3, 40, 55])
def test_resumes_exactly(history, stop):
    x, y, _ = random_case()

    def steps(selector):
        while True:
            for rows in selector:
                selector.update(rows, torch.randn(len(rows), 6, generator=torch.Generator().manual_seed(selector.step)) + rows[:, None] / 9)
                yield rows.tolist()

    first, second = (D2ACE(y, 4, x=x, warmup=3, history=history, seed=seed) for seed in (1, 2))
    run = steps(first)
    for _ in range(stop):
        next(run)
    state = first.state_dict()
    plain = {name: value for name, value in state.items() if not isinstance(value, torch.Tensor)}
    second.load_state_dict({**state, **json.loads(json.dumps(plain))})
    again = steps(second)
    assert [next(again) for _ in range(60)] == [next(run) for _ in range(60)]
    assert np.array_equal(first.probabilities(), second.probabilities())


def test_memory_stays_small(rng):
    n, q, visits = 6000, 200, 6
    y, x = sparse.random(n, q, density=0.01, random_state=0, data_rvs=np.ones).tocsr(), rng.normal(size=(n, 3)).astype(np.float32)
    selector = D2ACE(y, 128, x=x, warmup=0)
    for rows in np.split(np.tile(np.arange(n), visits), visits):
        selector.update(torch.from_numpy(rows), torch.from_numpy(rng.normal(size=(len(rows), q)).astype(np.float32)))
    state = selector.state_dict()
    large = sum(part.nbytes for part in state.values() if isinstance(part, torch.Tensor) and part.numel() >= n * q)
    assert large == 6 * n * q * 2
    small = sum(part.nbytes for part in state.values() if isinstance(part, torch.Tensor) and part.numel() < n * q)
    assert small <= 3 * 8 * n  # visits and two components
    running = D2ACE(y, 128, x=x, history="running").state_dict()
    assert sum(part.nbytes for part in running.values() if isinstance(part, torch.Tensor) and part.numel() >= n * q) == 3 * n * q * 2
    tracemalloc.start()
    selector.begin_epoch()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * q * 8  # not one matrix of n x q in float64


def deviation(other, exact):
    """Return the rank correlation of the scores and the largest relative deviation of a probability."""
    from scipy.stats import spearmanr

    ranks = [spearmanr(other.scores(metric).rows, exact.scores(metric).rows).statistic for metric in ("uncertainty", "hardness")]
    return min(ranks), float(abs(other.probabilities() / exact.probabilities() - 1).max())


def test_half_precision_and_running_means_come_close():
    rng = np.random.default_rng(3)
    x, y, _ = random_case(n=400)
    level = rng.normal(0, 2, size=(400, 6))
    logits = [level + 2.5 * (t / 20) * (2 * y - 1) + rng.normal(0, 1 / (1 + t / 5), size=level.shape) for t in range(20)]
    exact, half, single = (selecting(x, y, logits, dtype=dtype) for dtype in ("float64", "float16", "float32"))
    running = selecting(x, y, logits, history="running")
    ranks, far = deviation(half, exact)
    assert ranks > 0.99999
    assert far < 0.02  # a few quantisation steps of 8 ** (1 / 400) = 1.005
    assert deviation(single, exact)[1] < 0.006
    ranks, far = deviation(running, exact)
    assert ranks > 0.99
    assert 1e-4 < far < 0.25


def test_gradients_and_logits_are_left_alone():
    selector = D2ACE(Y, 2, x=X)
    logits = torch.randn(2, 3, requires_grad=True)
    before = logits.detach().clone()
    selector.update(torch.tensor([0, 1]), logits)
    assert torch.equal(logits.detach(), before)
    assert logits.grad is None


@pytest.mark.data
def test_learns_on_real_data(real_data, monkeypatch):
    monkeypatch.setenv("POLYTAG_DATA", str(real_data))
    data = load_dataset("scene", "train")
    x, y = torch.tensor(np.asarray(data.X), dtype=torch.float32), torch.tensor(np.asarray(data.Y), dtype=torch.float32)
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], dim=1)
    generator = torch.Generator().manual_seed(0)
    weight = (0.01 * torch.randn(y.shape[1], x.shape[1], generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([weight], lr=1e-2)
    selector = D2ACE(y, 128, x=x, seed=0)
    means, picked = [], torch.zeros(len(y))
    for epoch in range(12):
        with torch.no_grad():
            means.append(float(torch.nn.functional.binary_cross_entropy_with_logits(x @ weight.T, y)))
        for rows in selector:
            logits = x[rows] @ weight.T
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(logits, y[rows]).backward()
            optimizer.step()
            selector.update(rows, logits.detach())
            picked[rows] += epoch >= 10
    assert means[-1] < 0.5 * means[0]
    p = selector.probabilities()
    assert 2 < p.max() / p.min() <= 8
    often, seldom, hardness = p > np.quantile(p, 0.9), p < np.quantile(p, 0.5), selector.hardness().sum(axis=1)
    assert hardness[often].mean() > 1.3 * hardness[seldom].mean()
    assert picked[often].mean() > 1.3 * picked[seldom].mean()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pressure": 0.5}, "0.5"),
        ({"pressure_end": 0.0}, "0.0"),
        ({"schedule": (10, 10)}, "10"),
        ({"mixture_epochs": (70, 10)}, "70"),
        ({"mixture_share": 1.5}, "1.5"),
        ({"mixture_share": (0.1, 0.2, 0.3)}, "0.3"),
        ({"recent_change": -0.1}, "-0.1"),
        ({"alpha": 2}, "2"),
        ({"mean_weight": 2}, "2"),
        ({"hardness": "soft"}, "soft"),
        ({"correlation": "near"}, "near"),
        ({"window": 1}, "1"),
        ({"dtype": "int8"}, "int8"),
        ({"history": "all"}, "all"),
        ({"compat": "paper"}, "paper"),
        ({"x": None}, "pass x="),
    ],
)
def test_impossible_parameters(params, message):
    with pytest.raises(ParameterError, match=message):
        D2ACE(Y, 2, **{"x": X, **params})
