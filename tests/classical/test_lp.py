"""LP against classes named by their label sets."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from tests.classical.test_br import make
from tests.reference import classical as slow

from polytag.classical import LP


@pytest.mark.parametrize("seed", range(4))
def test_equals_classes_named_by_their_label_sets(seed: int) -> None:
    X, Y = make(seed)
    rows, _ = make(seed + 10)
    marginals, labels = slow.powerset(LogisticRegression(C=1, max_iter=1000), X, Y, rows)
    fitted = LP().fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(rows), marginals, atol=1e-9)
    np.testing.assert_array_equal(fitted.predict(rows), labels)


def test_predicts_only_sets_that_it_has_seen() -> None:
    X, Y = make()
    seen = {tuple(row) for row in Y}
    fitted = LP().fit(X, Y)
    assert {tuple(row) for row in fitted.predict(X)} <= seen
    assert {tuple(row) for row in fitted.powerset_.sets} == seen


def test_learner_without_probabilities_scores_0_and_1() -> None:
    X, Y = make()
    fitted = LP(LinearSVC()).fit(X, Y)
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict(X))
