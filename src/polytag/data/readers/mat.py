"""MATLAB arrays: features in one variable, labels in another."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import io, sparse

from polytag.data.dataset import Dataset
from polytag.errors import ReadError
from polytag.types import Array


def read_mat(path: str | Path, data: str = "data", target: str = "target", *, name: str = "") -> Dataset:
    """Read a multi-label data set from a MATLAB file (version 4 to 7.2, not the HDF5 of 7.3).

    Args:
        path: The file.
        data: Variable with the features, n x d.
        target: Variable with the labels, **q x n** as the field's MATLAB code keeps them (n x q is recognised when only that fits);
            0 and 1, or -1 and 1.
        name: What to call the set; by default the file's stem.

    Returns:
        X float64 and Y uint8; CSR where the file holds sparse arrays. Features and labels are numbered, MATLAB arrays have no names.

    Raises:
        ReadError: The file is not a MATLAB file, a variable is missing or not a matrix of numbers, the sizes do not fit, or a label is
            not binary.

    Cost: O(size of the arrays).

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "toy.mat"
        >>> io.savemat(file, {"data": np.eye(3), "target": np.array([[1, -1, -1], [-1, 1, 1]])})
        >>> read_mat(file).Y
        array([[1, 0],
               [0, 1],
               [0, 1]], dtype=uint8)
    """
    path = Path(path)
    variables = _load(path)
    X, Y = _matrix(path, variables, data), _matrix(path, variables, target)
    if Y.shape[1] == X.shape[0]:
        Y = Y.T
    elif Y.shape[0] != X.shape[0]:
        raise ReadError(path, None, f"{target!r} of shape (q, {X.shape[0]}), a column for each row of {data!r}", f"shape {Y.shape}")
    return Dataset(_features(path, data, X), _labels(path, target, Y), name=name or path.stem)


def _load(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            loaded: dict[str, Any] = io.loadmat(file)
    except FileNotFoundError:
        raise ReadError(path, None, "a file of that name", "none") from None
    except NotImplementedError:
        raise ReadError(path, None, "a MATLAB file of version 7.2 or older (save it with -v7)", "version 7.3 (HDF5)") from None
    except Exception as error:  # the parser behind loadmat raises whatever a broken byte leads it to
        raise ReadError(path, None, "a MATLAB file", f"{type(error).__name__}: {error}") from None
    return loaded


def _matrix(path: Path, variables: dict[str, Any], wanted: str) -> Any:
    found = sorted(key for key in variables if not key.startswith("__"))
    if wanted not in found:
        raise ReadError(path, None, f"a variable {wanted!r}", f"variables {found}")
    matrix = variables[wanted]
    if not sparse.issparse(matrix) and (not isinstance(matrix, np.ndarray) or matrix.dtype.kind not in "buif"):
        raise ReadError(path, None, f"{wanted!r} to be a matrix of numbers", f"{type(matrix).__name__} of {getattr(matrix, 'dtype', '')}")
    if matrix.ndim != 2 or matrix.dtype.kind not in "buif":
        raise ReadError(path, None, f"{wanted!r} to be a real matrix", f"shape {matrix.shape} of {matrix.dtype}")
    return matrix


def _features(path: Path, name: str, matrix: Any) -> Any:
    X = sparse.csr_array(matrix).astype(np.float64) if sparse.issparse(matrix) else np.ascontiguousarray(matrix, dtype=np.float64)
    values = X.data if sparse.issparse(X) else X
    if np.isinf(values).any():
        raise ReadError(path, None, f"finite numbers in {name!r}", "an infinite one")
    return X


def _labels(path: Path, name: str, matrix: Any) -> Any:
    if sparse.issparse(matrix):
        Y = sparse.csr_array(matrix)
        Y.data = _binary(path, name, Y.data)
        Y.eliminate_zeros()
        return Y
    return np.ascontiguousarray(_binary(path, name, np.asarray(matrix)))


def _binary(path: Path, name: str, values: Array) -> Array:
    """Return the labels as uint8 0 and 1; float32 with NaN when some are unknown."""
    numbers = values.astype(np.float32) if values.dtype.kind != "f" else values
    unknown = np.isnan(numbers)
    odd = ~unknown & (numbers != 0) & (numbers != 1) & (numbers != -1)
    if odd.any():
        raise ReadError(path, None, f"labels 0 and 1, or -1 and 1, in {name!r} (non-binary label)", f"{numbers[odd].flat[0]}")
    if unknown.any():
        return np.where(unknown, np.float32(np.nan), (numbers == 1).astype(np.float32))
    return np.asarray(numbers == 1, dtype=np.uint8)
