"""RAkEL: how many sets, which sets, and the votes of their powersets."""

from collections import Counter
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from tests.classical.test_br import make
from tests.reference import classical as slow

from polytag.classical import RAkEL
from polytag.classical.rakel import blocks, different_sets
from polytag.errors import ParameterError

LEARNER = LogisticRegression(C=1, max_iter=1000)


def labels(q: int, n: int = 60):
    rng = np.random.default_rng(q)
    X = rng.normal(size=(n, 4))
    return X, (X @ rng.normal(size=(4, q)) + rng.normal(size=(n, q)) > 0.3).astype(int)


@pytest.mark.parametrize(
    ("q", "k", "sizes"),
    [
        (6, 3, [3, 3]),
        (7, 3, [3, 4]),
        (8, 3, [3, 3, 2]),
        (1, 3, [1]),
        (2, 3, [2]),
        (4, 3, [4]),
        (5, 3, [3, 2]),
        (5, 1, [1] * 5),
        (3, 5, [3]),
    ],
)
def test_number_and_sizes_of_blocks(q: int, k: int, sizes: list[int]) -> None:
    partition = blocks(q, k, np.random.default_rng(0))
    assert [len(block) for block in partition] == sizes
    assert sorted(np.concatenate(partition).tolist()) == list(range(q))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**20))
def test_sets_are_different_and_as_many_as_there_can_be(q: int, k: int, wished: int, seed: int) -> None:
    sets = different_sets(q, k, wished, np.random.default_rng(seed))
    k = min(k, q)
    assert len(sets) == min(wished, comb(q, k))
    assert len({tuple(columns) for columns in sets}) == len(sets)
    assert all(len(columns) == k and (np.diff(columns) > 0).all() and columns[-1] < q for columns in sets)


@pytest.mark.parametrize("wished", [3, 8])
def test_every_set_is_equally_likely(wished: int) -> None:
    rng = np.random.default_rng(0)
    counts = Counter(tuple(columns) for _ in range(1000) for columns in different_sets(5, 3, wished, rng))
    assert len(counts) == 10
    expected = 1000 * wished / 10
    spread = 1000 * (wished / 10) * (1 - wished / 10)
    assert sum((count - expected) ** 2 for count in counts.values()) / spread * 0.9 < 27.9  # chi-square, 9 degrees of freedom, 0.1 %


@pytest.mark.parametrize(("q", "sets"), [(3, 1), (4, 4), (5, 10), (6, 12), (7, 14)])
def test_overlapping_has_2q_sets_or_all(q: int, sets: int) -> None:
    X, Y = labels(q)
    fitted = RAkEL(random_state=0).fit(X, Y)
    assert len(fitted.sets_) == sets
    scores = fitted.predict_proba(X)
    np.testing.assert_allclose(scores, slow.rakel(LEARNER, X, Y, X, fitted.sets_), atol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), scores >= 0.5)


def test_half_of_the_votes_are_enough_and_a_label_in_no_set_scores_0() -> None:
    X, Y = labels(6)
    fitted = RAkEL(random_state=0).fit(X, Y)
    half = fitted.predict_proba(X) == 0.5
    assert half.any()
    assert fitted.predict(X)[half].all()
    single = RAkEL(n_sets=1, random_state=0).fit(X, Y)
    outside = np.setdiff1d(np.arange(6), single.sets_[0])
    np.testing.assert_array_equal(single.predict_proba(X)[:, outside], 0)


@pytest.mark.parametrize("soft", [False, True])
def test_disjoint_is_one_powerset_a_block(soft: bool) -> None:
    X, Y = labels(7)
    fitted = RAkEL(overlapping=False, soft=soft, random_state=0).fit(X, Y)
    assert sorted(np.concatenate(fitted.sets_).tolist()) == list(range(7))
    for columns in fitted.sets_:
        marginals, predicted = slow.powerset(LEARNER, X, Y[:, columns], X)
        np.testing.assert_allclose(fitted.predict_proba(X)[:, columns], marginals if soft else predicted, atol=1e-9)


def test_constant_labels_are_in_no_set() -> None:
    X, Y = labels(4)
    fitted = RAkEL(random_state=0).fit(X, np.column_stack([np.ones(60, int), Y]))
    assert len(fitted.sets_) == 4
    assert set(np.concatenate(fitted.sets_)) == {1, 2, 3, 4}


def test_bad_parameters_are_refused() -> None:
    X, Y = make()
    with pytest.raises(ParameterError, match="labels in a set"):
        RAkEL(k=0).fit(X, Y)
    with pytest.raises(ParameterError, match="n_sets"):
        RAkEL(n_sets=0).fit(X, Y)
    with pytest.raises(ParameterError, match="n_sets"):
        RAkEL(overlapping=False, n_sets=3).fit(X, Y)
