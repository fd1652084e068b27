"""Closing, most specific labels, violations and parts of a hierarchy, against the dense matrix of who is below whom."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from tests.hierarchy.graphs import below, dense_close, graphs, with_labels

from polytag.errors import DataError
from polytag.hierarchy import Hierarchy

T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])
few = settings(max_examples=60, deadline=None)
FORMS = {"dense": lambda Y: Y, "CSR array": sparse.csr_array, "CSC matrix": sparse.csc_matrix, "tensor": torch.from_numpy}


def dense(Y: Any) -> np.ndarray:
    return Y.toarray() if sparse.issparse(Y) else np.asarray(Y)


@pytest.mark.parametrize("form", FORMS)
@few
@given(drawn=with_labels(unknown=True))
def test_closing(form: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, Y = drawn
    given_as = FORMS[form](Y.copy())
    found = h.close(given_as)
    assert type(found) is type(given_as)
    np.testing.assert_array_equal(dense(found), dense_close(h, Y))
    np.testing.assert_array_equal(dense(given_as), Y)
    np.testing.assert_array_equal(dense(h.close(found)), dense(found))
    assert not h.violations(found).any()


@pytest.mark.parametrize("form", FORMS)
@few
@given(drawn=with_labels(unknown=True))
def test_most_specific_labels(form: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, Y = drawn
    given_as = FORMS[form](Y.copy())
    found = h.leaves(given_as)
    assert type(found) is type(given_as)
    strictly = below(h) & ~np.eye(h.q, dtype=bool)
    above_another = (Y == 1) & ((Y == 1)[:, None, :] & strictly).any(axis=2)
    np.testing.assert_array_equal(dense(found), np.where(above_another, 0, Y))
    np.testing.assert_array_equal(dense(given_as), Y)
    np.testing.assert_array_equal(dense(h.leaves(found)), dense(found))
    np.testing.assert_array_equal(dense(h.close(found)) == 1, dense_close(h, Y) == 1)


@pytest.mark.parametrize("form", FORMS)
@few
@given(drawn=with_labels(unknown=True))
def test_violations(form: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, Y = drawn
    found = h.violations(FORMS[form](Y))
    assert found.dtype == np.int64
    assert found.tolist() == [sum(row[child] == 1 and row[parent] == 0 for child, parent in h.edges) for row in Y]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_types_are_kept(dtype: type) -> None:
    for Y in (np.array([[0, 0, 1, 0]], dtype=dtype), sparse.csr_array(np.array([[0, 0, 1, 0]], dtype=dtype))):
        assert T4.close(Y).dtype == T4.leaves(Y).dtype == dtype
        assert dense(T4.close(Y)).tolist() == [[1, 0, 1, 0]]


@few
@given(drawn=with_labels(), data=st.data())
def test_a_part_keeps_who_is_above_whom(drawn: tuple[Hierarchy, np.ndarray], data: Any) -> None:
    h, Y = drawn
    kept = data.draw(st.lists(st.integers(0, h.q - 1), min_size=1, unique=True))
    part = h.take(kept)
    assert part.names == tuple(h.names[k] for k in kept)
    np.testing.assert_array_equal(below(part), below(h)[np.ix_(kept, kept)])
    np.testing.assert_array_equal(part.close(h.close(Y)[:, kept]), h.close(Y)[:, kept])


@few
@given(h=graphs())
def test_structure(h: Hierarchy) -> None:
    R = below(h)
    np.testing.assert_array_equal(h.ancestors.toarray(), R.T & ~np.eye(h.q, dtype=bool))
    for k in range(h.q):
        assert h.levels[k] == 1 + max((h.levels[p] for c, p in h.edges if c == k), default=0)
        assert h.heights[k] == max((h.heights[c] + 1 for c, p in h.edges if p == k), default=0)
    assert h.depth == h.levels.max()
    assert set(h.tops) == {h.names[k] for k in range(h.q) if R[:, k].sum() == 1}
    assert set(h.ends) == {h.names[k] for k in range(h.q) if R[k].sum() == 1}
    assert Hierarchy.of(h.to_dict()) == h


def test_violations_by_hand() -> None:
    assert T4.violations([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]]).tolist() == [0, 1, 0, 2]


def test_sets_that_are_closed_by_hand() -> None:
    truth = np.array([[1, 0, 0, 1], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1]])
    predicted = T4.close([[1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 1]])
    assert predicted.sum(axis=1).tolist() == [2, 2, 2, 3]
    assert (predicted & truth).sum(axis=1).tolist() == [1, 1, 2, 2]


def test_labels_of_another_width() -> None:
    with pytest.raises(DataError, match=r"expected labels of shape \(n, 4\).*\(1, 3\)"):
        T4.close([[0, 0, 1]])


def test_a_large_tree_and_a_deep_one() -> None:
    q = 100_000
    child = np.arange(1, q)
    names = tuple(map(str, range(q)))
    tree = Hierarchy(names, np.stack([child, (child - 1) // 2], axis=1))
    Y = sparse.csr_array((np.ones(2, dtype=np.uint8), ([0, 2], [q - 1, 7])), shape=(3, q))
    closed = tree.close(Y)
    assert (closed.nnz, tree.depth, closed[[2]].indices.tolist()) == (4 + tree.levels[q - 1], 17, [0, 1, 3, 7])
    assert tree.leaves(closed).nnz == 2
    assert tree.take(np.arange(q // 2)).depth == 16
    chain = Hierarchy(names, np.stack([child, child - 1], axis=1))
    assert chain.depth == q
    assert chain.take([q - 1, 5, 0]).to_edges() == [(names[5], names[q - 1]), (names[0], names[5])]


def test_unknown_sparse_cells_keep_the_type() -> None:
    h = Hierarchy.from_edges([("a", "b")])
    Y = sparse.csr_array(np.array([[0, 1], [np.nan, 0]], dtype=np.float32))
    for found in (h.close(Y), h.leaves(Y)):
        assert found.dtype == np.float32
        assert np.isnan(found.toarray()[1, 0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.int64, torch.bool])
def test_tensors_of_every_type(dtype: torch.dtype) -> None:
    h = Hierarchy.from_edges([("a", "b"), ("b", "c")])
    Y = torch.tensor([[0, 0, 1], [0, 0, 0]]).to(dtype)
    assert torch.equal(h.close(Y), torch.tensor([[1, 1, 1], [0, 0, 0]]).to(dtype))
    assert torch.equal(h.leaves(h.close(Y)), Y)


def test_no_label_of_a_hierarchy() -> None:
    with pytest.raises(DataError, match="at least one label"):
        Hierarchy.from_edges([("a", "b")]).take([])


@few
@given(drawn=with_labels())
def test_mending_adds_or_drops(drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, Y = drawn
    chosen = Y == 1
    assert np.array_equal(h.mend(chosen), h.close(chosen.astype(int)) == 1)
    under = below(h)
    lacking = np.array([[(under[:, c] & ~row).any() for c in range(h.q)] for row in chosen], dtype=bool).reshape(chosen.shape)
    for how in ("down", "product"):
        assert np.array_equal(h.mend(chosen, how), chosen & ~lacking)
