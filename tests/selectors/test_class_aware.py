"""Labels take turns, and so do the rows of each label: read off the list that the batches are cut from."""

from collections import Counter

import numpy as np
import pytest
from scipy import sparse

from polytag.errors import ParameterError
from polytag.selectors import ClassAware

LABELS = np.zeros((30, 4))
LABELS[:12, 0] = LABELS[12:19, 1] = LABELS[19, 2] = 1  # disjoint, so that a row tells its label; label 3 has no row
LABEL_OF = np.array([0] * 12 + [1] * 7 + [2] + [3] * 10)  # the last ten rows have no label, and one turn together


def stream(selector, epochs):
    """Return the rows of some epochs in one list."""
    return np.concatenate([rows.numpy() for _ in range(epochs) for rows in selector])


@pytest.mark.parametrize(("rows_each", "batch_size"), [(3, 8), (1, 7), (5, 4)])
def test_labels_take_turns_and_so_do_their_rows(rows_each, batch_size):
    drawn = stream(ClassAware(LABELS, batch_size, rows_each=rows_each, seed=1), 40)
    turns = LABEL_OF[drawn[: len(drawn) // rows_each * rows_each]].reshape(-1, rows_each)
    assert (turns == turns[:, :1]).all()
    order = turns[: len(turns) // 4 * 4, 0].reshape(-1, 4)
    assert (np.sort(order, axis=1) == np.arange(4)).all()
    assert len({tuple(labels) for labels in order}) > 5  # in different orders
    for label in range(4):
        members = np.flatnonzero(label == LABEL_OF)
        rows, size = drawn[np.isin(drawn, members)], len(members)
        rounds = rows[: len(rows) // size * size].reshape(-1, size)
        assert len(rounds) > 2
        assert (np.sort(rounds, axis=1) == members).all()
        assert size == 1 or len({tuple(rows) for rows in rounds}) > 2


def test_probabilities_are_the_long_run_shares():
    rng = np.random.default_rng(0)
    y = rng.random((40, 5)) < np.array([0.5, 0.3, 0.2, 0.1, 0.1])
    selector = ClassAware(y, 8, seed=0)
    expected = sum(y[:, j] / y[:, j].sum() for j in range(5)) + ~y.any(axis=1) / (~y.any(axis=1)).sum()
    np.testing.assert_allclose(selector.probabilities(), expected / 6)
    counts = np.bincount(stream(selector, 600), minlength=40) / (600 * 40)
    np.testing.assert_allclose(counts, expected / 6, rtol=0.03)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_epochs_of_the_published_length(kind):
    selector = ClassAware(kind(LABELS), 5, reduce=2, warmup=1, last_batch="remainder", seed=0)
    assert [len(stream(selector, 1)) for _ in range(3)] == [30, 24, 24]  # floor(4 * 12 / 2), after a plain pass
    assert len(stream(ClassAware(LABELS, 5, reduce=1, last_batch="remainder"), 1)) == 48


def test_frequent_labels_bring_no_more_rows_than_rare_ones():
    y = np.zeros((1000, 2))
    y[:990, 0] = y[990:, 1] = 1
    drawn = Counter((stream(ClassAware(y, 50, seed=0), 4) >= 990).tolist())
    assert abs(drawn[True] - drawn[False]) <= 3


@pytest.mark.parametrize("params", [{"rows_each": 0}, {"reduce": 0}, {"reduce": -1.0}])
def test_refuses_senseless_numbers(params):
    with pytest.raises(ParameterError, match=r"rows_each >= 1 and reduce > 0"):
        ClassAware(LABELS, 5, **params)
