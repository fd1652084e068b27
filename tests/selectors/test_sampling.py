"""Both ways to draw have the law of successive sampling."""

import numpy as np
import pytest
from tests.reference.selectors import chi_square, ordered_tuples

from polytag.selectors.sampling import Proposals, by_keys, by_rejection

P = np.array([2, 4, 16, 32, 8]) / 62


def proposer(rng, p):
    def propose(m):
        rows = rng.integers(len(p), size=m)
        return rows, rng.random(m) < p[rows] / p.max()

    return propose


def draw_by_rejection(rng, k, proposals):
    return by_rejection(k, proposer(rng, P), proposals, budget=1e6).tolist()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_both_ways_follow_the_exact_law_over_ordered_tuples(rng, k):
    proposals = Proposals(2.0)
    for draw in (lambda: draw_by_rejection(rng, k, proposals), lambda: by_keys(k, np.log(P), rng).tolist()):
        statistic, limit = chi_square([draw() for _ in range(8000)], ordered_tuples(P, k))
        assert statistic < limit


def test_keys_complete_a_draw_that_rejection_began(rng):
    def draw():
        begun = by_rejection(1, proposer(rng, P), Proposals(2.0), budget=1e6)
        return by_keys(3, np.log(P), rng, begun).tolist()

    statistic, limit = chi_square([draw() for _ in range(8000)], ordered_tuples(P, 3))
    assert statistic < limit


def test_chi_square_notices_a_wrong_law(rng):
    wrong = np.array([3, 4, 16, 31, 8]) / 62
    statistic, limit = chi_square([by_keys(2, np.log(wrong), rng).tolist() for _ in range(8000)], ordered_tuples(P, 2))
    assert statistic > limit


def test_rejection_gives_up_at_its_budget(rng):
    found = by_rejection(6, proposer(rng, P), Proposals(1.0), budget=500)
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_keys_can_draw_everything(rng):
    assert sorted(by_keys(5, np.log(P), rng)) == [0, 1, 2, 3, 4]
    assert by_keys(2, np.log(P), rng, np.array([4, 1])).tolist() == [4, 1]


def test_estimate_of_proposals_follows_what_is_seen():
    proposals = Proposals(4.0)
    for _ in range(60):
        proposals.observe(1000, 100)
    assert proposals.per_row == pytest.approx(10, rel=0.01)
    assert proposals.prefers_rejection("auto", 5200, 128)
    assert not proposals.prefers_rejection("auto", 5000, 128)
    assert proposals.prefers_rejection("rejection", 10, 128)
    assert not proposals.prefers_rejection("dense", 10**7, 128)
