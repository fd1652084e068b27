"""Files of Clus: trees and graphs, rows in any form, labels closed."""

import gzip
import lzma
from pathlib import Path

import numpy as np

from polytag import load_dataset
from polytag.data import read_clus
from polytag.data.dataset import Dataset

TREE = (
    "@RELATION 'a toy'\n\n% a comment\n@ATTRIBUTE a NUMERIC\n@attribute  'b c'\t{u,v}\n"
    "@Attribute class  Hierarchical  1,1/1,1/1/2,2\n\n@DATA\n"
)
GO = "root/GO0003674,GO0003674/x,GO0003674/y,root/GO0005575,x/z,y/z,GO0005575/w,z/v,w/v"


def read(folder: Path, raw: str | bytes, *args, **options) -> Dataset:
    path = folder / "toy.arff"
    path.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    return read_clus(path, *args, **options)


def tree(folder: Path, classes: str, *labels: str, **options) -> Dataset:
    rows = "".join(f"0,{label}\n" for label in labels)
    return read(folder, f"@attribute a numeric\n@attribute class hierarchical {classes}\n@data\n{rows}", **options)


def closed(data: Dataset) -> list[set[str]]:
    return [{data.label_names[k] for k in np.flatnonzero(row == 1)} for row in data.Y.toarray()]


def test_a_tree_with_numbers_and_categories(tmp_path):
    data = read(tmp_path, TREE + "0.5,v,1/1/2@2\n%x\n\n ? , u , 1 \n-1e-2,?,n\n3,w,2\n")
    np.testing.assert_array_equal(data.X, [[0.5, 0, 1], [np.nan, 1, 0], [-0.01, 0, 0], [3, 0, 0]])
    assert data.feature_names == ("a", "b c=u", "b c=v")
    assert data.label_names == ("1", "2", "1/1", "1/1/2")
    assert data.Y.toarray().tolist() == [[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert (data.name, data.Y.dtype, data.hierarchy.is_tree, data.hierarchy.depth) == ("toy", np.uint8, True, 3)
    declared = read(tmp_path, TREE + "0.5,v,1/1/2@2\n", close=False)
    assert declared.Y.toarray().tolist() == [[0, 1, 0, 1]]
    assert declared.hierarchy == data.hierarchy


def test_two_valued_categories_take_two_columns_in_their_declared_order(tmp_path):
    header = "@attribute a {1,0}\n@attribute b {0,1}\n@attribute c {no,yes}\n@attribute class hierarchical 1\n@data\n"
    for ending in ("", "% read exactly\n"):
        data = read(tmp_path, header + "1,1,yes,1\n?,?,?,n\n0,0,no,n\n" + ending)
        assert data.feature_names == ("a=1", "a=0", "b=0", "b=1", "c=no", "c=yes")
        assert data.X.tolist() == [[1, 0, 0, 1, 0, 1], [0] * 6, [0, 1, 1, 0, 1, 0]]


def test_labels_stand_in_any_column(tmp_path):
    for ending in ("", "% read exactly\n"):
        data = read(
            tmp_path, "@attribute class hierarchical 1,2\n@attribute a real\n@attribute b integer\n@data\n1@2,7,8\nn,5,6\n" + ending
        )
        assert data.X.tolist() == [[7, 8], [5, 6]]
        assert data.feature_names == ("a", "b")
        assert closed(data) == [{"1", "2"}, set()]


def test_children_before_parents_and_repeated_entries(tmp_path):
    data = tree(tmp_path, "000/00,000,001/01,000/00,000,002/7/8", "000/00", "001/01@001", "002/7")
    assert data.label_names == ("000", "001", "002", "000/00", "001/01", "002/7", "002/7/8")
    assert closed(data) == [{"000", "000/00"}, {"001", "001/01"}, {"002", "002/7"}]


def test_a_node_is_its_whole_path(tmp_path):
    data = tree(tmp_path, "01/01,01/01/01,02/01", "02/01", "01/01/01")
    assert closed(data) == [{"02", "02/01"}, {"01", "01/01", "01/01/01"}]


def test_paths_with_another_separator(tmp_path):
    data = tree(tmp_path, "1.1/2,1.3", "1.3", separator=".")
    assert data.label_names == ("1", "1.1/2", "1.3")
    assert data.hierarchy.tops == ("1",)


def test_quoted_classes_and_labels(tmp_path):
    data = tree(tmp_path, "'heart, left/valve','heart, left'", "'heart, left/valve'")
    assert closed(data) == [{"heart, left", "heart, left/valve"}]


def test_a_graph_leaves_out_its_roots(tmp_path):
    data = tree(tmp_path, GO, "z", "root@GO0005575", "v@x", "GO0003674")
    assert data.label_names == ("w", "x", "y", "v", "z")  # nearest to the top first, then by name
    assert closed(data) == [{"x", "y", "z"}, set(), {"v", "w", "x", "y", "z"}, set()]
    assert data.hierarchy.levels.tolist() == [1, 1, 1, 3, 2]
    assert not data.hierarchy.is_tree
    kept = tree(tmp_path, GO, "z", "GO0005575", roots=("root",))
    assert kept.label_names == ("GO0003674", "GO0005575", "w", "x", "y", "v", "z")
    assert closed(kept) == [{"GO0003674", "x", "y", "z"}, {"GO0005575"}]
    assert tree(tmp_path, GO, "z", roots=()).hierarchy.tops == ("root",)


def test_what_is_below_an_inner_root_stays_below_what_is_above_it(tmp_path):
    data = tree(tmp_path, "a/b,b/c,b/d", "c", structure="graph", roots=("b",))
    assert data.hierarchy.tops == ("a",)
    assert closed(data) == [{"a", "c"}]


def test_the_structure_is_asked_for_or_guessed(tmp_path):
    pairs = "root/a,a/b"
    assert tree(tmp_path, pairs).label_names == ("a", "b")
    assert tree(tmp_path, pairs, structure="tree").label_names == ("a", "root", "a/b", "root/a")
    assert tree(tmp_path, "root/a,a/b/c").label_names == ("a", "root", "a/b", "root/a", "a/b/c")
    assert tree(tmp_path, "a/b,root/a").hierarchy.is_tree
    assert tree(tmp_path, "a/b,c/b", "b", structure="graph").label_names == ("a", "c", "b")


def test_the_empty_set_and_unknown_labels(tmp_path):
    assert closed(tree(tmp_path, "n,n/1", "n", "n/1")) == [{"n"}, {"n", "n/1"}]
    data = tree(tmp_path, "1/2", "1/2", "?", "n")
    np.testing.assert_array_equal(data.Y, np.array([[1, 1], [np.nan, np.nan], [0, 0]], np.float32))


def test_sparse_rows_count_from_one(tmp_path):
    header = "@attribute a numeric\n@attribute b {0,1}\n@attribute c {u,v}\n@attribute class hierarchical 1/2,3\n@data\n"
    dense = read(tmp_path, header + "0.5,0,v,1/2\n0,1,u,3\n0,0,u,n\n?,?,?,3@1\n")
    for ending in ("", "% read exactly\n"):
        data = read(tmp_path, header + "{1 0.5, 3 v, 4 1/2}\n{2 1, 4 3}\n{4 n}\n{1 ?, 2 ?, 3 ?, 4 3@1}\n" + ending)
        np.testing.assert_array_equal(data.X.toarray(), dense.X)
        assert data.Y.toarray().tolist() == dense.Y.toarray().tolist()
        assert data.feature_names == dense.feature_names


def test_a_sparse_file_of_many_columns_stays_sparse(tmp_path):
    header = "".join(f"@attribute w{j} numeric\n" for j in range(5000)) + "@attribute class hierarchical 1\n@data\n"
    data = read(tmp_path, header + "".join(f"{{{j + 1} 2,5001 1}}\n" for j in range(50)))
    assert (data.X.shape, data.X.nnz, data.Y.sum()) == ((50, 5000), 50, 50)
    assert data.X.indices.tolist() == list(range(50))


def test_the_quick_way_and_the_exact_way_agree(tmp_path):
    rng = np.random.default_rng(0)
    names = ["1", "1/1", "1/2", "1/2/1", "2", "2/1"]
    rows = [
        f"{rng.normal():.3f},{rng.choice(['u', 'v', '?'])},{'@'.join(rng.choice(names, rng.integers(1, 4), replace=False))}\n"
        for _ in range(3000)
    ]
    header = "@attribute a numeric\n@attribute b {u,v}\n@attribute class hierarchical 1/1,1/2/1,2/1\n@data\n"
    quick = read(tmp_path, header + "".join(rows))
    exact = read(tmp_path, header + "".join(f"{row}% {k}\n" for k, row in enumerate(rows)))
    assert np.array_equal(quick.X, exact.X)
    assert (quick.Y != exact.Y).nnz == 0
    assert not quick.hierarchy.violations(quick.Y).any()


def test_packed_files_and_dropped_columns(tmp_path):
    raw = "@attribute id key\n@attribute a numeric\n@attribute class hierarchical 1/2\n@data\ngene one,3,1/2\r\n'x,y',4,n\r\n"
    for name, pack in (("x.train.arff.gz", gzip.compress), ("x.train.arff.xz", lzma.compress)):
        (tmp_path / name).write_bytes(pack(raw.encode()))
        data = read_clus(tmp_path / name, drop=["id"])
        assert (data.X.tolist(), data.name) == ([[3], [4]], "x.train")


def test_a_name_of_an_attribute_may_stand_twice(tmp_path):
    header = "@attribute a numeric\n@attribute a numeric\n@attribute 'a (2)' numeric\n@attribute c hierarchical 1\n@data\n"
    data = read(tmp_path, header + "1,2,3,1\n")
    assert data.feature_names == ("a", "a (2)", "a (2) (2)")
    assert data.X.tolist() == [[1, 2, 3]]


def test_no_rows(tmp_path):
    data = tree(tmp_path, "1/2")
    assert (data.n, data.d, data.q) == (0, 1, 2)


def test_load_dataset_finds_the_reader_by_the_content(tmp_path):
    tree(tmp_path, "1/2", "1/2")
    assert load_dataset(tmp_path / "toy.arff").hierarchy.depth == 2
