"""AdaC's chains have the law of the paper, whichever way they are drawn."""

import numpy as np
import pytest
import torch
from tests.reference import selectors as reference

from polytag.data.labels import LabelIndex
from polytag.data.stats import conditional_cooccurrence
from polytag.errors import ParameterError
from polytag.selectors import AdaC
from polytag.selectors.chain import LabelChain

Y = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1], [1, 0, 1], [0, 0, 0]])
LOSSES = np.array([0.3, 0.6, 0.9, 0.6, 0.1])


def known(y=Y, losses=LOSSES, **params):
    selector = AdaC(y, params.pop("batch_size", 3), imbalance_weight=False, warmup=0, **params)
    selector.losses.record(np.arange(len(losses)), np.asarray(losses, dtype=float))
    return selector


def random_labels(rng, n=40, q=7):
    return (rng.random((n, q)) < np.linspace(0.5, 0.03, q)).astype(int)


def test_hand_example():
    assert conditional_cooccurrence(Y).tolist() == [[0, 0.75, 0.75], [0.75, 0, 0], [0.75, 0, 0]]
    selector = known(pressure=32)
    assert [labels.tolist() for labels in selector.chain.correlated] == [[1, 2], [0], [0]]
    assert selector.chain.leads.tolist() == [1, 1, 2, 2, -1]
    np.testing.assert_allclose(selector.next_probabilities(3), [1 / 13, 4 / 13, 8 / 13, 0, 0], rtol=1e-12)
    np.testing.assert_allclose(selector.next_probabilities(4), np.array([4, 16, 32, 16, 0]) / 68, rtol=1e-12)


def test_correlated_labels_equal_the_reference(rng):
    for _ in range(10):
        y = random_labels(rng)
        affinity, best = reference.correlated_labels(y)
        chain = LabelChain(LabelIndex.from_labels(y))
        np.testing.assert_allclose(conditional_cooccurrence(y), affinity, rtol=1e-12)
        assert [labels.tolist() for labels in chain.correlated] == best
        assert (affinity == affinity.T).all()
        assert (np.diag(affinity) == 0).all()
        assert (affinity <= 1).all()


def test_the_label_itself_can_be_included():
    assert [labels.tolist() for labels in LabelChain(LabelIndex.from_labels(Y), include_self=True).correlated] == [[0, 1], [1, 0], [2, 0]]


def test_proposals_are_uniform_over_the_union_of_lists(rng):
    y = random_labels(rng, n=12, q=5)
    y[0] = 1
    chain = LabelChain(LabelIndex.from_labels(y))
    for label in range(5):
        members = chain.members(label)
        assert members.tolist() == np.flatnonzero(y[:, chain.correlated[label]].any(axis=1)).tolist()
        rows = chain.propose(label, 6000, rng)
        statistic, limit = reference.chi_square([(row,) for row in rows], {(row,): 1 / len(members) for row in members.tolist()})
        assert len(members) == 1 or statistic < limit


@pytest.mark.parametrize("sampler", ["rejection", "dense"])
@pytest.mark.parametrize("pressure", [1, 32])
def test_chains_follow_the_exact_law(sampler, pressure):
    y = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0]])
    losses = [0.3, 0.6, 0.9, 0.6, 0.1, 0.5]
    selector = known(y, losses, pressure=pressure, sampler=sampler, seed=4)
    chances = reference.chain_tuples(y, reference.adaptive_probabilities(losses, pressure), 3)
    statistic, limit = reference.chi_square([selector.draw(3).tolist() for _ in range(6000)], chances)
    assert statistic < limit


def test_consecutive_rows_are_linked_unless_a_jump_is_noted(rng):
    y = random_labels(rng, n=400)
    selector = known(y, rng.gamma(1.0, size=400), seed=0)
    jumps = linked = 0
    for _ in range(50):
        rows = selector.draw(20).tolist()
        assert len(set(rows)) == 20
        assert selector.jumps[0] == 0
        for place in range(1, 20):
            if place in selector.jumps:
                jumps += 1
                continue
            lead = min(np.flatnonzero(y[rows[place - 1]]), key=lambda j: (y[:, j].sum(), j))
            assert y[rows[place], selector.chain.correlated[lead]].any()
            linked += 1
    assert linked > 10 * jumps


def test_restarts_jump_everywhere():
    selector = known(np.tile(Y, (50, 1)), np.tile(LOSSES, 50), restart_prob=1.0)
    selector.draw(10)
    assert selector.jumps == list(range(10))


def test_whole_set_and_dead_ends():
    for sampler in ("auto", "rejection", "dense"):
        assert sorted(known(batch_size=5, sampler=sampler).draw(5).tolist()) == [0, 1, 2, 3, 4]
    nothing = AdaC(np.zeros((50, 3)), 4, imbalance_weight=False, warmup=0)
    nothing.draw(4)
    assert nothing.jumps == [0, 1, 2, 3]
    single = AdaC(np.ones((50, 1)), 4, imbalance_weight=False, warmup=0)
    assert len(single.draw(4).unique()) == 4


def test_stocks_are_refilled_and_restored(rng):
    y = random_labels(rng, n=3000)
    selector, resumed = (known(y, rng.gamma(1.0, size=3000), seed=5, batch_size=64, pressure=64) for _ in range(2))
    for _ in range(60):
        selector.draw(64)
    state = selector.state_dict()
    assert int(state["stock_rounds"].max()) > 1
    resumed.load_state_dict(state)
    for _ in range(5):
        assert torch.equal(resumed.draw(64), selector.draw(64))


def test_impossible_parameters():
    with pytest.raises(ParameterError, match="restart_prob"):
        known(restart_prob=1.5)
