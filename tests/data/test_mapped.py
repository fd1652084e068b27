"""A set on disk gives the same batches as the set in memory, is whole or absent, and is opened without being read."""

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse

from polytag import Dataset, Table, Trainer
from polytag.data import mapped
from polytag.data.labels import LabelIndex
from polytag.data.mapped import open_mapped, write_mapped
from polytag.data.parted import open_folder, open_parts, seal
from polytag.errors import DataError
from polytag.hierarchy import Hierarchy
from polytag.models import Linear
from polytag.selectors import Hard
from polytag.training import predict, score


def toy(n=53, d=4, q=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, d)).astype(np.float32)
    Y = (X[:, :q] + rng.normal(size=(n, q)) > 0.8).astype(np.uint8)
    Y[7] = 0
    return X, Y


def cut(X, Y, size=10):
    return ((X[i : i + size], Y[i : i + size]) for i in range(0, len(X), size))


def test_equals_the_set_in_memory(tmp_path):
    X, Y = toy()
    write_mapped(tmp_path / "set", cut(X, Y), feature_names="abcd", label_names="xyz", name="toy")
    data, own = open_mapped(str(tmp_path / "set")), Dataset(X, Y)
    assert (data.n, data.d, data.q, data.name) == (53, 4, 3, "toy")
    assert (data.feature_names, data.label_names) == (tuple("abcd"), tuple("xyz"))
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.Y.toarray(), Y)
    for part in ("row_starts", "columns", "column_starts", "rows"):
        np.testing.assert_array_equal(getattr(data.labels, part), getattr(own.labels, part))
        assert getattr(data.labels, part).dtype == np.int32
    mine, theirs = Table(data), Table(own)
    rows = torch.tensor([50, 7, 7, 0])
    for a, b in [(mine[rows], theirs[rows]), *zip(mine.blocks(20), theirs.blocks(20))]:
        assert all(torch.equal(u, v) and u.dtype == v.dtype for u, v in zip(a[:3], b[:3]))
    np.testing.assert_array_equal(data.take([3, 1]).X, X[[3, 1]])
    assert data.take([3, 1]).labels.n == 2
    assert data.with_labels([2]).labels.counts.tolist() == [Y[:, 2].sum()]


def test_training_and_evaluation_give_the_same_bits(tmp_path):
    X, Y = toy()
    tables = Table(write_mapped(tmp_path / "set", cut(X, Y))), Table(Dataset(X, Y))
    results = []
    for table in tables:
        model = Linear.from_data(table)
        Trainer(epochs=5, lr=0.1).fit(model, table, Hard(table.labels, 16, warmup=1), valid=table)
        results.append((predict(model, table, batch_size=20), score(model, table, "macro_auc")))
    assert torch.equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]


def test_nothing_is_read_or_copied_when_it_is_opened(tmp_path, monkeypatch):
    X, Y = toy()
    write_mapped(tmp_path / "set", cut(X, Y))
    monkeypatch.setattr(np, "isfinite", None)
    monkeypatch.setattr(LabelIndex, "from_labels", None)
    data = open_mapped(tmp_path / "set")
    table = Table(data)
    arrays = [data.X, data.Y.data, data.Y.indices, data.Y.indptr, *(getattr(table.labels, p) for p in ("row_starts", "columns", "rows"))]
    for array in arrays:
        assert not array.flags.writeable
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        assert isinstance(array, np.memmap)


@pytest.mark.parametrize(
    "labels", [sparse.csr_array, sparse.csc_matrix, torch.from_numpy, lambda y: y.astype(bool), lambda y: y.astype(float)]
)
def test_blocks_of_any_kind_and_size(tmp_path, labels):
    X, Y = toy()
    blocks = [(torch.from_numpy(X[a:b]).double(), labels(Y[a:b])) for a, b in pairwise([0, 1, 30, 52, 53])]
    data = write_mapped(tmp_path / "set", blocks)
    np.testing.assert_array_equal(data.X, X)
    np.testing.assert_array_equal(data.Y.toarray(), Y)


def test_long_numbers_where_cells_do_not_fit(tmp_path, monkeypatch):
    X, Y = toy()
    monkeypatch.setattr(mapped, "index_type", lambda n, q: np.int64)
    data = write_mapped(tmp_path / "set", cut(X, Y))
    assert data.labels.rows.dtype == data.Y.indices.dtype == data.Y.indptr.dtype == np.int64
    np.testing.assert_array_equal(data.Y[np.array([4, 2])].toarray(), Y[[4, 2]])


def test_images_and_sets_without_any_label(tmp_path):
    images = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    data = write_mapped(tmp_path / "set", [(images, np.zeros((2, 5)))])
    batch = Table(data)[torch.tensor([1])]
    assert torch.equal(batch.x, torch.from_numpy(images[1:]))
    assert batch.y.tolist() == [[0.0] * 5]
    assert data.labels.counts.tolist() == [0] * 5


def test_a_mapped_file_of_ones_own(tmp_path):
    X, Y = toy()
    np.save(tmp_path / "x.npy", X.astype(np.float16))
    unknown = Y.astype(np.float64)
    unknown[2, 1] = np.nan
    data = Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), unknown)
    assert isinstance(data.X, np.memmap)
    batch = Table(data)[torch.tensor([2, 9])]
    assert batch.x.dtype == batch.y.dtype == torch.float32
    assert batch.y.isnan().tolist() == [[False, True, False], [False] * 3]


def test_a_missing_value_in_a_mapped_file_is_found_in_its_batch(tmp_path):
    X, Y = toy()
    X[5, 2] = np.nan
    np.save(tmp_path / "x.npy", X)
    table = Table(Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), Y))
    assert len(table[torch.tensor([4, 6])].rows) == 2
    with pytest.raises(DataError, match="row 5 of the mapped file"):
        table[torch.tensor([4, 5, 6])]


def bad_blocks():
    X, Y = toy()
    infinite, unknown, huge = X.copy(), Y.astype(float), X.astype(np.float64)
    infinite[12, 0], unknown[12, 0], huge[12, 0] = np.inf, np.nan, 1e300
    return {
        "row 12 has a NaN": cut(infinite, Y),
        r"row 12 has a NaN or infinite one \(as float32\)": cut(huge, Y),
        "10 rows from row 10 on is NaN": cut(X, unknown),
        "0, 1 or NaN": cut(X, Y * 2),
        r"labels \(b, 3\), but from row 10 on": iter([(X[:10], Y[:10]), (X[10:], Y[10:, :2])]),
        r"features \(b, 4,\) .* but from row 10 on": iter([(X[:10], Y[:10]), (X[10:, :2], Y[10:])]),
        "from row 0 on got features": iter([(X[:10], Y[:9])]),
        "at least one row": iter([]),
        "dense features": iter([(sparse.csr_array(X), Y)]),
        r"of shape \(b, d\)": iter([(X[:, 0], Y)]),
    }


@pytest.mark.parametrize("message", bad_blocks())
def test_bad_blocks_are_refused_and_leave_nothing(tmp_path, message):
    with pytest.raises(DataError, match=message):
        write_mapped(tmp_path / "set", bad_blocks()[message])
    assert not list(tmp_path.iterdir())


def test_the_hierarchy_comes_along(tmp_path):
    X, Y = toy()
    Y[:, 1] = 1
    tree = Hierarchy.from_edges([("y", "x"), ("y", "z")], "xyz")
    for names in ({}, {"label_names": "xyz"}):
        folder = tmp_path / f"set{len(names)}"
        assert write_mapped(folder, cut(X, Y), hierarchy=tree, **names).hierarchy == tree
        assert open_mapped(folder).label_names == ("x", "y", "z")
    assert open_mapped(tmp_path / "set0").take([1, 2]).hierarchy == tree
    seal(tmp_path, {"parts": {"set0": len(X), "set1": len(X)}})
    assert all(part.hierarchy == tree for part in open_parts(tmp_path).values())
    assert open_folder(tmp_path).hierarchy == open_folder(tmp_path, "set1").hierarchy == tree
    assert write_mapped(tmp_path / "flat", cut(X, Y)).hierarchy is None
    with pytest.raises(DataError, match="exactly the labels of the data"):
        write_mapped(tmp_path / "other", cut(X, Y), label_names="abc", hierarchy=tree)
    assert not (tmp_path / "other").exists()


def test_an_interrupted_or_misnamed_set_leaves_nothing(tmp_path):
    def broken():
        yield toy()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mapped(tmp_path / "set", broken())
    with pytest.raises(DataError, match="label names"):
        write_mapped(tmp_path / "set", [toy()], label_names=["one"])
    assert not list(tmp_path.iterdir())


def test_a_folder_is_never_overwritten(tmp_path):
    with pytest.raises(DataError, match="does not exist yet"):
        write_mapped(tmp_path, [toy()])


def test_what_is_no_mapped_set_is_refused(tmp_path):
    with pytest.raises(DataError, match="write it anew"):
        open_mapped(tmp_path)
    write_mapped(tmp_path / "set", [toy()])
    columns = tmp_path / "set" / "columns.npy"
    whole = columns.read_bytes()
    columns.write_bytes(whole[:-4])
    with pytest.raises(DataError, match="write it anew"):
        open_mapped(tmp_path / "set")
    columns.write_bytes(whole)
    meta = tmp_path / "set" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"shape": [52, 3]}))
    with pytest.raises(DataError, match="expected sizes"):
        open_mapped(tmp_path / "set")


def test_selectors_hear_of_unknown_labels_beside_mapped_features(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=(4, 2))
    table = Table(Dataset(X, np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 0.0], [0.0, np.nan]])))
    assert np.isnan(table.targets).sum() == 2
    assert table[torch.tensor([1])].y.isnan().any()
