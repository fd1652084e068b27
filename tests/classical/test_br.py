"""BR against one classifier a label."""

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from tests.reference import classical as slow

from polytag.classical import BR


def make(seed: int = 0, n: int = 80):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, (X @ rng.normal(size=(4, 3)) + rng.normal(size=(n, 3)) > 0.4).astype(int)


def test_equals_one_classifier_a_label() -> None:
    X, Y = make()
    learner = LogisticRegression(C=1, max_iter=1000)
    expected = np.column_stack([slow.binary(learner, X, Y[:, j], X) for j in range(3)])
    fitted = BR().fit(X, Y)
    np.testing.assert_allclose(fitted.predict_proba(X), expected, rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), expected > 0.5)
    assert len(fitted.estimators_) == 3
    np.testing.assert_allclose(BR(LogisticRegression(C=1, max_iter=1000)).fit(X, Y).predict_proba(X), expected, rtol=1e-12)


def test_sparse_features_are_not_made_dense(monkeypatch) -> None:
    X, Y = make()

    to_array = sparse.csr_matrix.toarray

    def labels_only(matrix, *args, **kwargs):
        assert matrix.shape[1] != X.shape[1], "made dense"
        return to_array(matrix, *args, **kwargs)

    monkeypatch.setattr(sparse.csr_matrix, "toarray", labels_only)
    fitted = BR().fit(sparse.csr_matrix(X), Y)
    np.testing.assert_allclose(fitted.predict_proba(sparse.csr_matrix(X)), BR().fit(X, Y).predict_proba(X), atol=1e-3)
