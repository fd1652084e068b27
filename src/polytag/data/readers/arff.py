"""ARFF, the format of WEKA, MULAN and MEKA: dense or sparse rows, labels named by an XML file or by the relation name."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from polytag.data.dataset import Dataset
from polytag.data.readers.arff_blocks import BlockParser
from polytag.data.readers.arff_dense import DenseRows
from polytag.data.readers.arff_header import open_arff
from polytag.data.readers.arff_plan import make_plan
from polytag.data.readers.arff_rows import RowParser
from polytag.data.readers.arff_sparse import SparseRows
from polytag.data.readers.label_choice import LabelChoice, label_columns
from polytag.data.readers.source import line_ends
from polytag.errors import ReadError


def read_arff(path: str | Path, labels: LabelChoice = None, *, drop: Sequence[str] = (), name: str = "") -> Dataset:
    r"""Read a multi-label data set from an ARFF file (plain, gzip, xz or bzip2: known by content).

    Numbers and two-valued categories (``{0,1}``, ``{no,yes}``, ``{false,true}``, ``{n,y}``) become one column each; other categories one
    0/1 column for each value, named ``attribute=value``. A missing value ``?`` is NaN, in all columns of its attribute. Labels keep the
    order of the file's columns and are found by name, whatever the order in the XML.

    Args:
        path: The file.
        labels: Which attributes are labels: a MULAN XML file (``.xml``, ``.xml.gz``); ``k`` for the first or ``-k`` for the last k
            attributes, as MEKA's ``-C``; a sequence of names; or ``None``: what the relation name says (``-C n``), else the XML file
            beside ``path`` with the same stem (``yeast-train.arff`` finds ``yeast-train.xml``, then ``yeast.xml``).
        drop: Names of attributes to leave out, such as row identifiers and texts.
        name: What to call the set; by default the file's stem.

    Returns:
        Dense rows: X float64 and Y uint8 arrays. Sparse rows: both CSR (float64 and uint8), never dense in between. A file with unknown
        labels (``?``): Y is a dense float32 array with NaN.

    Raises:
        ReadError: The file is malformed, with the line, what was expected and what came.

    Cost: one pass in blocks; peak memory about twice the result.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.arff"
        >>> _ = file.write_text("@relation 'toy: -C 1'\n@attribute y {0,1}\n@attribute a numeric\n@attribute b {u,v}\n@data\n1,2.5,v\n")
        >>> data = read_arff(file)
        >>> data.X, data.Y, data.feature_names, data.label_names
        (array([[2.5, 0. , 1. ]]), array([[1]], dtype=uint8), ('a', 'b=u', 'b=v'), ('y',))
    """
    path = Path(path)
    header, blocks = open_arff(path)
    tree = next((attribute for attribute in header.attributes if attribute.kind == "hierarchical"), None)
    if tree is not None:
        raise ReadError(
            path, tree.line, "an ARFF file of flat labels (read_clus reads this one)", f"the hierarchical attribute {tree.name!r}"
        )
    plan = make_plan(path, header, label_columns(path, header, labels), drop)
    X, Y = read_rows(blocks, header.line, RowParser(path, plan, header.encoding), BlockParser(plan))
    return Dataset(X, Y, plan.feature_names, plan.label_names, name or stem(path))


def read_rows(blocks: Iterable[bytes], line: int, rows: RowParser, quick: BlockParser) -> tuple[Any, Any]:
    """Return X and Y of the rows in these blocks, dense or sparse as the first row is.

    Args:
        blocks: Bytes of whole lines, what follows ``@data``.
        line: Number of the first of these lines.
        rows: The exact parser.
        quick: The quick parser.
    """
    plan = rows.plan
    collected: DenseRows | SparseRows | None = None
    for block in blocks:
        if collected is None:
            first = next(rows.lines(block, line), None)
            if first is not None:
                collected = SparseRows(plan, rows, quick) if first[1][0] == "{" else DenseRows(plan, rows, quick)
        if collected is not None:
            collected.add(block, line)
        line += line_ends(block)
    return (collected or DenseRows(plan, rows, quick)).result()


def stem(path: Path) -> str:
    """Return the name of an ARFF file without its endings."""
    name = path.name
    for ending in (".gz", ".xz", ".bz2", ".arff"):
        name = name.removesuffix(ending)
    return name
