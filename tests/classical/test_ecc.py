"""ECC: the mean of its chains, samples and orders."""

import numpy as np
import pytest
from tests.classical.test_br import make

from polytag.classical import ECC, ecc
from polytag.errors import ParameterError


@pytest.mark.parametrize("votes", [True, False])
def test_score_is_the_mean_of_the_chains(votes: bool) -> None:
    X, Y = make()
    fitted = ECC(n_chains=4, votes=votes, random_state=0).fit(X, Y)
    scores = fitted.predict_proba(X)
    answers = [chain.predict(X) if votes else chain.predict_proba(X) for chain in fitted.chains_]
    np.testing.assert_allclose(scores, np.mean(answers, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(fitted.predict(X), scores > 0.5)


@pytest.mark.parametrize(("sample", "replace", "size"), [(1.0, True, 80), (0.67, False, 54), (0.001, True, 1)])
def test_each_chain_has_its_own_rows_and_order(monkeypatch, sample: float, replace: bool, size: int) -> None:
    X, Y = make()
    seen = []
    fit_rows = ecc._fit_rows

    def listen(chain, X, Y, rows):
        seen.append(rows)
        return fit_rows(chain, X, Y, rows)

    monkeypatch.setattr(ecc, "_fit_rows", listen)
    fitted = ECC(sample=sample, replace=replace, random_state=0).fit(X, Y)
    assert [len(rows) for rows in seen] == [size] * 10
    assert len({rows.tobytes() for rows in seen}) > 5
    if size > 1:
        assert all((len(np.unique(rows)) < size) == replace for rows in seen)
        assert len({tuple(chain.order_) for chain in fitted.chains_}) > 2
    assert np.isfinite(fitted.predict_proba(X)).all()


def test_orders_are_all_equally_likely() -> None:
    X, Y = make(n=12)
    fitted = ECC(n_chains=240, sample=0.01, random_state=0).fit(X, Y)
    orders = [tuple(np.asarray(chain.order)) for chain in fitted.chains_]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 6
    assert ((counts - 40) ** 2 / 40).sum() < 20.5  # chi-square, 5 degrees of freedom, 0.1 %


def test_bad_parameters_are_refused() -> None:
    X, Y = make()
    with pytest.raises(ParameterError, match="n_chains"):
        ECC(n_chains=0).fit(X, Y)
    with pytest.raises(ParameterError, match="sample"):
        ECC(sample=1.5).fit(X, Y)
