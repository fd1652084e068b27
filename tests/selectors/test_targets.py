"""Losses computed from the index of labels equal those computed from the matrix."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import sparse

from polytag.data.labels import LabelIndex
from polytag.errors import DataError
from polytag.selectors.targets import Targets, cells_of


@pytest.fixture
def labels(rng):
    y = (rng.random((30, 7)) < 0.3).astype(np.float32)
    y[4] = 0
    return y


def test_equals_torch(labels):
    rows, logits = np.array([4, 0, 29, 4, 7]), torch.randn(5, 7, generator=torch.Generator().manual_seed(0)) * 5
    expected = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(labels[rows]), reduction="none").mean(1)
    losses = Targets(labels).losses(rows, logits)
    assert losses.dtype == np.float64
    assert np.array_equal(losses, expected.double().numpy())
    np.testing.assert_allclose(Targets(sparse.csr_array(labels)).losses(rows, logits.bfloat16()), expected, rtol=0.05)


@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy, sparse.csr_array])
def test_unknown_labels_are_left_out(labels, wrap):
    labels[3, [1, 5]] = np.nan
    labels[8] = np.nan
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    rows = np.array([3, 8, 0])
    terms = F.binary_cross_entropy_with_logits(logits, torch.from_numpy(np.nan_to_num(labels[rows])), reduction="none").numpy()
    expected = [np.delete(terms[0], [1, 5]).mean(), 0.0, terms[2].mean()]
    np.testing.assert_allclose(Targets(wrap(labels)).losses(rows, logits), expected, rtol=1e-6)


def test_logits_of_unknown_cells_do_not_matter(labels):
    labels[3, 1] = np.nan
    logits = torch.zeros(1, 7)
    logits[0, 1] = torch.inf
    assert np.isfinite(Targets(labels).losses(np.array([3]), logits)).all()


def test_cells_of_rows(labels):
    rows = np.array([5, 4, 5, 0])
    at, columns = cells_of(LabelIndex.from_labels(labels), rows)
    expected = [(i, j) for i, row in enumerate(rows) for j in np.flatnonzero(labels[row])]
    assert list(zip(at.tolist(), columns.tolist())) == expected
    assert len(cells_of(LabelIndex.from_labels(labels), np.empty(0, dtype=np.int64))[0]) == 0


@pytest.mark.parametrize("shape", [(2, 7), (3, 6)])
def test_wrong_shape_is_refused(labels, shape):
    with pytest.raises(DataError, match="logits of shape"):
        Targets(labels).checked(np.arange(3), torch.zeros(shape))


@pytest.mark.parametrize("rows", [[0, -1], [30, 2]])
def test_rows_out_of_range_are_refused(labels, rows):
    with pytest.raises(DataError, match="row numbers from 0 to 29"):
        Targets(labels).checked(np.array(rows), torch.zeros(2, 7))


def test_logits_that_are_not_finite(labels):
    targets, rows = Targets(labels), np.array([3, 5])
    logits = torch.zeros(2, 7)
    assert targets.finite_logits(rows, logits, refuse=True) is logits
    logits[1, 2] = torch.inf
    with pytest.raises(DataError, match="instance 5"):
        targets.finite_logits(rows, logits, refuse=True)
    replaced = targets.finite_logits(rows, logits, refuse=False)
    assert torch.equal(replaced[0], logits[0])
    assert torch.equal(replaced[1], 15 - 30 * torch.as_tensor(labels[5]).float())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu(labels):
    rows, logits = np.arange(30), torch.randn(30, 7, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(Targets(labels).losses(rows, logits.cuda()), Targets(labels).losses(rows, logits), rtol=1e-5)
