"""Hiding known labels."""

import numpy as np
import pytest
import torch
from scipy import sparse

from polytag.data import drop_labels

Y = (np.random.default_rng(3).random((2000, 7)) < 0.3).astype(np.uint8)


def test_keeps_the_share_asked_for_and_does_not_change_labels() -> None:
    kept = drop_labels(Y, 0.3)
    known = ~np.isnan(kept)
    assert abs(known.mean() - 0.3) < 0.02
    assert (kept[known] == Y[known]).all()
    assert abs(known[Y == 1].mean() - known[Y == 0].mean()) < 0.03
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(drop_labels(Y, 1.0), Y)
    assert np.isnan(drop_labels(Y, 0.0)).all()


def test_keeps_one_positive_of_each_row_with_equal_chances() -> None:
    kept = drop_labels(Y, single_positive=True)
    known = ~np.isnan(kept)
    np.testing.assert_array_equal(known.sum(axis=1), Y.any(axis=1))
    assert (Y[known] == 1).all()
    pairs = (Y[:, 0] == 1) & (Y[:, 1:].sum(axis=1) == 1)
    assert abs(known[pairs, 0].mean() - 0.5) < 0.1


def test_any_kind_of_matrix_gives_the_same_and_stays_as_it_was() -> None:
    before = Y.copy()
    expected = drop_labels(Y, 0.5, seed=4)
    for matrix in (sparse.csr_array(Y), torch.as_tensor(Y), Y.tolist(), Y.astype(np.float64)):
        np.testing.assert_array_equal(drop_labels(matrix, 0.5, seed=4), expected)
    np.testing.assert_array_equal(Y, before)
    assert not np.array_equal(drop_labels(Y, 0.5, seed=5), expected, equal_nan=True)


def test_unknown_labels_stay_unknown() -> None:
    once = drop_labels(Y, 0.5)
    for twice in (drop_labels(once, 0.5, seed=1), drop_labels(once, single_positive=True)):
        assert np.isnan(twice[np.isnan(once)]).all()
        assert (~np.isnan(twice)).any()
    assert np.isnan(once).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either"),
        ({"keep_rate": 0.5, "single_positive": True}, "either"),
        ({"keep_rate": 1.5}, "keep_rate"),
        ({"keep_rate": -0.1}, "keep_rate"),
    ],
)
def test_refuses_senseless_numbers(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drop_labels(Y, **arguments)
    with pytest.raises(ValueError, match="shape"):
        drop_labels(Y[0], 0.5)
