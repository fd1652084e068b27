"""CLR against duels one by one, constant labels included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from tests.classical.test_br import make
from tests.reference import classical as slow

from polytag.classical import BR, CLR, clr
from polytag.errors import ParameterError


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.booleans(), st.booleans(), st.integers(0, 2**20))
def test_equals_duels_one_by_one(q: int, soft: bool, linear: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, rows = rng.normal(size=(16, 3)), rng.normal(size=(9, 3))
    Y = (rng.random((16, q)) < rng.choice([0.0, 0.1, 0.4, 0.9, 1.0], q)).astype(int)
    learner = LogisticRegression(C=1, max_iter=1000) if linear else BernoulliNB()
    votes, virtual = slow.clr(learner, X, Y, rows, soft)
    fitted = CLR(None if linear else learner, soft=soft).fit(X, Y)
    clear = np.abs(votes - virtual[:, None]) > 1e-9
    np.testing.assert_array_equal(fitted.predict(rows).reshape(votes.shape)[clear], (votes >= virtual[:, None])[clear])
    if not fitted.constant_labels_.size:
        np.testing.assert_allclose(fitted.predict_proba(rows), votes / q, rtol=1e-9, atol=1e-12)


def test_votes_by_hand() -> None:
    X = np.arange(9.0)[:, None]
    Y = np.repeat([[1, 0, 0], [0, 1, 0], [0, 1, 1]], 3, axis=0)
    fitted = CLR().fit(X, Y)
    # at 0: label 0 wins both duels and BR; label 1 wins one (no row has label 2 without it); nobody else is relevant to BR
    np.testing.assert_allclose(fitted.predict_proba([[0.0]]), [[1.0, 1 / 3, 0.0]])
    np.testing.assert_array_equal(fitted.predict([[0.0]]), [[1, 0, 0]])
    assert [duels.settled.tolist() for duels in fitted.duels_] == [[1.0, 1.0], [1.0]]
    assert [duels.open.tolist() for duels in fitted.duels_] == [[0, 1], []]


def test_labels_that_no_row_tells_apart_share_the_vote() -> None:
    X, Y = make()
    twins = np.column_stack([Y[:, 0], Y[:, 0]])
    votes = CLR().fit(X, twins).predict_proba(X)
    np.testing.assert_array_equal(votes, np.where(BR().fit(X, twins).predict(X), 0.75, 0.25))


def test_one_label_is_binary_relevance() -> None:
    X, Y = make()
    np.testing.assert_array_equal(CLR().fit(X, Y[:, :1]).predict(X), BR().fit(X, Y[:, :1]).predict(X))
    soft = CLR(soft=True).fit(X, Y[:, :1]).predict_proba(X)
    np.testing.assert_allclose(soft, BR().fit(X, Y[:, :1]).predict_proba(X), rtol=1e-12)


def test_blocks_of_rows_change_nothing(monkeypatch) -> None:
    X, Y = make()
    for kind in (np.asarray, sparse.csr_matrix):
        fitted = CLR().fit(kind(X), Y)
        whole = fitted.predict_proba(kind(X))
        monkeypatch.setattr(clr, "_BLOCK", 21)
        np.testing.assert_array_equal(fitted.predict_proba(kind(X)), whole)
        monkeypatch.undo()


def test_many_labels_must_be_forced() -> None:
    X, Y = np.arange(4.0)[:, None], np.zeros((4, 201), dtype=int)
    with pytest.raises(ParameterError, match="20301 classifiers"):
        CLR().fit(X, Y)
    Y[:2, :2] = 1
    assert CLR(force=True).fit(X, Y).predict(X).shape == (4, 201)
