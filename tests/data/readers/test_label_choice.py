"""Labels are found by name or count, wherever they stand, never by a rule of thumb."""

import gzip

import numpy as np
import pytest

from polytag.data.readers import read_arff, read_xml_labels
from polytag.errors import ReadError

HEAD = "@attribute a {0,1}\n@attribute b {0,1}\n@attribute c {0,1}\n@attribute d {0,1}\n@data\n1,0,0,1\n"
XML = '<?xml version="1.0" encoding="utf-8"?>\n<labels xmlns="http://mulan.sourceforge.net/labels">\n{}\n</labels>\n'


def xml(*names):
    return XML.format("\n".join(f'<label name="{name}"></label>' for name in names))


def arff(folder, relation, name="toy.arff"):
    path = folder / name
    path.write_text(f"@relation {relation}\n{HEAD}")
    return path


@pytest.mark.parametrize(
    ("relation", "labels"),
    [
        ("'toy: -C 2'", ("a", "b")),
        ("'toy: -C -1'", ("d",)),
        ("'toy: -split-number 5 -C 3'", ("a", "b", "c")),
        ('"toy:-C 1"', ("a",)),
        ("'toy: -c 2'", ("a", "b")),
    ],
)
def test_relation_option_of_meka(tmp_path, relation, labels):
    assert read_arff(arff(tmp_path, relation)).label_names == labels


def test_filter_names_in_a_relation_are_not_options(tmp_path):
    path = arff(tmp_path, "toy-weka.filters.unsupervised.attribute.Remove-V-R1,2-C2")
    with pytest.raises(ReadError, match="pass labels="):
        read_arff(path)


def test_counts_and_names(tmp_path):
    path = arff(tmp_path, "toy")
    assert read_arff(path, labels=1).label_names == ("a",)
    assert read_arff(path, labels=-3).label_names == ("b", "c", "d")
    data = read_arff(path, labels=["d", "b"])
    assert data.label_names == ("b", "d"), "the order is that of the columns"
    np.testing.assert_array_equal(data.Y, [[0, 1]])
    np.testing.assert_array_equal(data.X, [[1, 0]])


def test_xml_names_are_matched_whatever_their_order_and_place(tmp_path):
    path = arff(tmp_path, "toy")
    (tmp_path / "labels.xml").write_text(xml("d", "b"))
    (tmp_path / "labels.xml.gz").write_bytes(gzip.compress(xml("d", "b").encode()))
    for choice in (tmp_path / "labels.xml", str(tmp_path / "labels.xml.gz")):
        assert read_arff(path, labels=choice).label_names == ("b", "d")


def test_escaped_names_in_the_xml_find_plain_names(tmp_path):
    path = tmp_path / "toy.arff"
    path.write_text("@relation r\n@attribute 'it\\'s' {0,1}\n@attribute TAG_m\\'usica {0,1}\n@attribute a numeric\n@data\n1,0,1\n")
    (tmp_path / "toy.xml").write_text(xml("it\\'s", "TAG_m\\'usica"))
    assert read_arff(path).label_names == ("it's", "TAG_m\\'usica")


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("yeast.arff", "yeast.xml"),
        ("yeast-train.arff.gz", "yeast.xml"),
        ("Corel5k-train-sparse.arff", "corel5k.xml"),
        ("tmc2007-500-test.arff", "tmc2007-500.xml"),
        ("Arts1500.orig.arff", "Arts1500.xml.gz"),
        ("cs-5x2x1-1tst.arff.xz", "cs.xml"),
    ],
)
def test_xml_beside_the_file(tmp_path, name, beside):
    path = arff(tmp_path, "toy", name)
    (tmp_path / "other.xml").write_text(xml("a"))
    with pytest.raises(ReadError, match="XML file of the same name"):
        read_arff(path)
    raw = xml("c").encode()
    (tmp_path / beside).write_bytes(gzip.compress(raw) if beside.endswith("gz") else raw)
    data = read_arff(path)
    assert data.label_names == ("c",)
    assert data.name == name.partition(".arff")[0]


def test_nearest_xml_wins_and_the_relation_name_wins_over_it(tmp_path):
    (tmp_path / "yeast.xml").write_text(xml("a"))
    (tmp_path / "yeast-train.xml").write_text(xml("b"))
    assert read_arff(arff(tmp_path, "r", "yeast-train.arff")).label_names == ("b",)
    assert read_arff(arff(tmp_path, "r", "yeast-test.arff")).label_names == ("a",)
    assert read_arff(arff(tmp_path, "'r: -C -1'", "yeast-test.arff")).label_names == ("d",)


@pytest.mark.parametrize(
    ("labels", "expected", "came"),
    [
        (["a", "bb"], "attributes of the ARFF file", "'bb'"),
        (["a", "a"], "names that differ", "repeated"),
        (["a", "b", "c", "d"], "at least one attribute that is not a label", "all 4"),
        (4, "between 1 and 3", "4"),
        (-9, "between 1 and 3", "-9"),
    ],
)
def test_wrong_choices(tmp_path, labels, expected, came):
    with pytest.raises(ReadError) as caught:
        read_arff(arff(tmp_path, "toy"), labels=labels)
    assert expected in caught.value.expected
    assert came in caught.value.came


def test_unknown_label_of_an_xml_file_names_that_file_and_near_names(tmp_path):
    (tmp_path / "toy.xml").write_text(xml("a", "dd"))
    with pytest.raises(ReadError) as caught:
        read_arff(arff(tmp_path, "toy"))
    assert caught.value.path == tmp_path / "toy.xml"
    assert "'dd' (near ones are 'd')" in caught.value.came


def test_xml_names_with_nesting_entities_of_xml_and_prefix(tmp_path):
    path = tmp_path / "tree.xml"
    path.write_text(
        '<m:labels xmlns:m="u"><m:label name="A &amp; B"><m:label name="it&#39;s"/></m:label><m:label name="ü"/></m:labels>',
        encoding="utf-8",
    )
    assert read_xml_labels(path) == ["A & B", "it's", "ü"]


BAD_XML = {
    "entities": ('<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><labels><label name="&b;"/></labels>', "without a document type", 1),
    "doctype": ('<!DOCTYPE labels SYSTEM "file:///etc/passwd"><labels><label name="a"/></labels>', "without a document type", 1),
    "unknown entity": ('<labels><label name="&nbsp;"/></labels>', "well-formed XML", 1),
    "not closed": ('<labels>\n<label name="a">', "well-formed XML", 2),
    "empty": ("", "well-formed XML", 1),
    "no labels": ("<labels/>", "label elements", None),
    "no name": ('<labels>\n<label id="a"/></labels>', 'name="..."', 2),
    "twice": ('<labels>\n<label name="a"/>\n<label name="a"/></labels>', "names that differ", 3),
    "unknown encoding": ('<?xml version="1.0" encoding="klingon"?><labels/>', "well-formed XML", None),
    "multi-byte encoding": ('<?xml version="1.0" encoding="shift_jis"?><labels/>', "well-formed XML", None),
    "binary": (b"\x00\x01\x02", "well-formed XML", 1),
}


@pytest.mark.parametrize("case", BAD_XML)
def test_bad_xml(tmp_path, case):
    raw, expected, line = BAD_XML[case]
    path = tmp_path / "bad.xml"
    path.write_bytes(raw if isinstance(raw, bytes) else raw.encode())
    with pytest.raises(ReadError) as caught:
        read_xml_labels(path)
    assert expected in caught.value.expected
    assert (caught.value.path, caught.value.line) == (path, line)
