"""ARFF of Clus: rows whose labels form a tree or a graph, declared by one attribute of type ``hierarchical``."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.readers.arff import read_rows, stem
from polytag.data.readers.arff_header import Header, open_arff
from polytag.data.readers.clus_classes import GO_ROOTS, Structure, read_classes
from polytag.data.readers.clus_rows import ClusBlocks, ClusRows, LabelSets, clus_plan
from polytag.errors import ParameterError, ReadError


def read_clus(
    path: str | Path,
    structure: Structure = "auto",
    *,
    separator: str = "/",
    close: bool = True,
    roots: Collection[str] = GO_ROOTS,
    drop: Sequence[str] = (),
    name: str = "",
) -> Dataset:
    r"""Read a data set whose labels form a hierarchy from an ARFF file of Clus (plain, gzip, xz or bzip2: known by content).

    One attribute has the type ``hierarchical`` and lists the classes; it is found by its type, wherever it stands. In a tree the list holds
    paths such as ``01/01/03``: every prefix is a class too, listed or not, a class is named by its whole path, and neither order nor
    repetition matters. In a graph it holds edges ``parent/child`` between names. A row joins its labels by ``@``; ``n`` is the empty set,
    unless a class has that name, and ``?`` says that all labels are unknown. Rows mostly name the most specific labels only: all ancestors
    are added.

    Numbers become one column each, ``?`` is NaN. Categories, two-valued ones too, become one 0/1 column for each declared value, named
    ``attribute=value``; an undeclared value or ``?`` is a zero in all of them. A repeated name of an attribute becomes ``name (2)``. Sparse
    rows count attributes from 1; a number that is left out is 0, a category that is left out the first declared one.

    Args:
        path: The file.
        structure: What the class list holds: paths of a ``"tree"`` or edges of a ``"graph"``. The file does not say it. ``"auto"`` takes
            a list for edges if each entry has exactly two parts and the first one starts with ``root``, as in the files of the Gene
            Ontology.
        separator: What stands between the parts of an entry.
        close: Add all ancestors of each label. ``False`` gives the labels as the rows declare them, which no model of a hierarchy takes.
        roots: Classes of a graph that every row has, or that say nothing: they become no labels, and what is below them stays. By default
            ``root`` and, in files of the Gene Ontology, its three namespaces, which published figures leave out too; ``("root",)`` keeps
            the namespaces as labels.
        drop: Names of attributes to leave out, such as row identifiers.
        name: What to call the set; by default the file's stem.

    Returns:
        X float64, an array for dense rows and CSR for sparse ones; Y CSR, uint8 (a float32 array with NaN if some are unknown); and the
        hierarchy. Labels are ordered by (number of parts, path) in a tree and by (shortest distance from the top, name) in a graph.

    Raises:
        ReadError: The file is malformed, with the line, what was expected and what came.

    Cost: one pass in blocks; peak memory about twice the result.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.arff"
        >>> _ = file.write_text("@relation toy\n@attribute a numeric\n@attribute class hierarchical 1/2,3\n@data\n0.5,1/2\n?,3@1\n")
        >>> data = read_clus(file)
        >>> data.label_names, data.Y.toarray().tolist(), data.hierarchy
        (('1', '3', '1/2'), [[1, 0, 1], [1, 1, 0]], <hierarchy: tree of 3 labels, 1 edges, 2 levels>)
    """
    if structure not in ("auto", "tree", "graph"):
        raise ParameterError(f"expected structure 'auto', 'tree' or 'graph', but got {structure!r}")
    if not separator or "@" in separator or "," in separator:
        raise ParameterError(f"expected a separator such as '/' or '.', without '@' and ',', but got {separator!r}")
    path = Path(path)
    header, blocks = open_arff(path, repeats=True)
    column = hierarchical_column(path, header)
    classes = read_classes(path, header.attributes[column], structure, separator, roots)
    plan, sets = clus_plan(path, header, column, drop), LabelSets(classes)
    rows = ClusRows(path, plan, header.encoding, column, sets)
    X, _ = read_rows(blocks, header.line, rows, ClusBlocks(rows))
    place = int(plan.column[column])
    numbers = X[:, [place]].toarray().ravel() if hasattr(X, "indptr") else X[:, place]
    features = np.delete(np.arange(X.shape[1]), place)
    Y = sets.matrix(numbers.astype(np.int64))
    if close:
        Y = classes.hierarchy.close(Y)
    names = [plan.feature_names[k] for k in features]
    return Dataset(X[:, features], Y, names, classes.hierarchy.names, name or stem(path), classes.hierarchy)


def hierarchical_column(path: Path, header: Header) -> int:
    """Return the number of the only hierarchical attribute.

    Raises:
        ReadError: There is none, or there are several.
    """
    found = [(j, attribute) for j, attribute in enumerate(header.attributes) if attribute.kind == "hierarchical"]
    if not found:
        raise ReadError(path, None, "an attribute of type hierarchical (read_arff reads files of flat labels)", "none")
    if len(found) > 1:
        names = " and ".join(repr(attribute.name) for _, attribute in found[:3])
        raise ReadError(path, found[1][1].line, "one attribute of type hierarchical", names)
    return found[0][0]
