"""CC against a plain loop along the chain."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from tests.classical.test_br import make
from tests.reference import classical as slow

from polytag.classical import CC
from polytag.errors import ParameterError

LEARNER = LogisticRegression(C=1, max_iter=1000)


@pytest.mark.parametrize("order", [None, [2, 0, 1], np.array([1, 2, 0])])
def test_equals_the_loop_along_the_chain(order) -> None:
    X, Y = make()
    rows, _ = make(1)
    expected = slow.chain(LEARNER, X, Y, rows, range(3) if order is None else order)
    fitted = CC(order=order).fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(rows), expected, rtol=1e-6)
    np.testing.assert_array_equal(fitted.predict(rows), expected > 0.5)


def test_order_names_columns_of_y_also_when_some_are_constant() -> None:
    X, Y = make()
    wide = np.column_stack([np.ones(len(Y), int), Y])
    fitted = CC(order=[3, 0, 1, 2]).fit(X, wide)
    np.testing.assert_array_equal(fitted.order_, [3, 1, 2])
    np.testing.assert_allclose(fitted.predict_proba(X)[:, 1:], slow.chain(LEARNER, X, Y, X, [2, 0, 1]), rtol=1e-6)
    orders = {tuple(CC(order="random", random_state=seed).fit(X, Y).order_) for seed in range(12)}
    assert len(orders) > 3
    assert all(sorted(order) == [0, 1, 2] for order in orders)


def test_chain_of_probabilities_and_of_held_out_predictions_differ_from_the_plain_one() -> None:
    X, Y = make()
    plain = CC().fit(X, Y).predict_proba(X)
    for other in (CC(chain_method="predict_proba"), CC(cv=3)):
        scores = other.fit(X, Y).predict_proba(X)
        np.testing.assert_allclose(scores[:, 0], plain[:, 0], rtol=1e-6)
        assert not np.allclose(scores[:, 1:], plain[:, 1:], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.parametrize("rare", [0, 1])
def test_folds_without_a_label_are_survived(rare: int) -> None:
    X, Y = make()
    Y[:, 0] = 1 - rare
    Y[7, 0] = rare
    scores = CC(cv=3).fit(X, Y).predict_proba(X)
    assert np.isfinite(scores).all()


def test_bad_orders_are_refused() -> None:
    X, Y = make()
    for order in ([0, 1], [0, 1, 1], "backwards"):
        with pytest.raises(ParameterError, match="order"):
            CC(order=order).fit(X, Y)
    with pytest.raises(ParameterError, match="chain_method"):
        CC(chain_method="guess").fit(X, Y)
