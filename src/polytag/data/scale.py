"""Bring features to a common scale, learnt on some rows and applied to any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse

from polytag.errors import DataError, ParameterError
from polytag.types import Array, ArrayLike

SCALES = ("minmax", "standard", "none")
FILLS = ("mean", "zero", "refuse")


@dataclass(frozen=True)
class Scaler:
    """A fitted map of each feature, ``(x - shift) / width``, with a value for missing cells; made by ``Scaler.fit``.

    A feature that is constant on the fitted rows becomes 0. Values outside the fitted range stay outside it.

    Attributes:
        kind: ``"minmax"``, ``"standard"`` or ``"none"``.
        fill: Value for missing cells, before scaling, shape (d,); NaN where missing values are refused.
        shift: Shape (d,); all 0 if the map was fitted on sparse features.
        width: Shape (d,); infinite for a constant feature.

    Example:
        >>> X = np.array([[0.0, 5.0], [2.0, 5.0], [np.nan, 5.0]])
        >>> Scaler.fit(X).transform(X).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]
    """

    kind: str
    fill: Array
    shift: Array
    width: Array

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        kind: Literal["minmax", "standard", "none"] = "minmax",
        *,
        missing: Literal["mean", "zero", "refuse"] = "mean",
        eps: float = 0.0,
    ) -> Self:
        """Learn the map from these rows.

        Dense features: ``minmax`` maps the smallest value to 0 and the largest to 1, ``standard`` the mean to 0 and the standard
        deviation to 1. Sparse features are never shifted, so that zeros stay zeros: ``minmax`` divides by the largest absolute value
        (the same as min-max wherever the smallest value is 0, so that 0/1 features stay as they are), ``standard`` by the standard
        deviation.

        Args:
            X: Features (n, d) or (n, ...), dense or sparse.
            kind: Which map.
            missing: What a NaN cell becomes before scaling: the mean of the feature's known cells (0 if there are none), 0, or an error.
            eps: Added to the width of each feature; DELA's published code uses 1e-5.

        Raises:
            ParameterError: ``kind``, ``missing`` or ``eps`` is not one of the choices.
            DataError: There are no rows, a value is infinite, or a value is missing and ``missing="refuse"``.

        Cost: O(stored values), memory of one column block beside the result.
        """
        wrong = [f"{name}={value!r} (expected one of {known})" for name, value, known in
                 (("kind", kind, SCALES), ("missing", missing, FILLS)) if value not in known]  # fmt: skip
        if wrong or not eps >= 0:
            raise ParameterError("Scaler got " + "; ".join(wrong or [f"eps={eps!r} (expected a number >= 0)"]))
        if X.shape[0] == 0:
            raise DataError("expected rows to learn the scale from, but got none")
        _check(X, refuse=missing == "refuse")
        seen = _sparse_columns(X) if sparse.issparse(X) else _dense_columns(X)
        d = len(seen.mean)
        fill = {"mean": seen.mean, "zero": np.zeros(d), "refuse": np.full(d, np.nan)}[missing]
        if kind == "none":
            return cls(kind, fill, np.zeros(d), np.ones(d))
        shift, width = (seen.low, seen.high - seen.low) if kind == "minmax" else (seen.mean, seen.deviation)
        if sparse.issparse(X):
            shift, width = np.zeros(d), np.maximum(np.abs(seen.low), np.abs(seen.high)) if kind == "minmax" else width
        constant = seen.high == seen.low
        return cls(kind, fill, shift, np.where(constant | (width == 0), np.inf, width + eps))

    def transform(self, X: ArrayLike) -> Any:
        """Return the scaled features, of the same kind and shape; float32 stays float32, everything else becomes float64.

        Raises:
            DataError: The number of features differs, a value is infinite, or a value is missing and missing values are refused.
        """
        if int(np.prod(X.shape[1:])) != len(self.shift):
            raise DataError(f"expected {len(self.shift)} features as in fit, but got {int(np.prod(X.shape[1:]))}")
        dtype = np.float32 if X.dtype == np.float32 else np.float64
        _check(X, refuse=bool(np.isnan(self.fill).any()))
        if sparse.issparse(X):
            if self.shift.any():
                raise DataError("expected dense features as in fit, but got sparse ones; shifting them would fill them up")
            X = sparse.csr_array(X)
            values = X.data.astype(np.float64)
            values = np.where(np.isnan(values), self.fill[X.indices], values) / self.width[X.indices]
            return sparse.csr_array((values.astype(dtype), X.indices.copy(), X.indptr.copy()), shape=X.shape)
        flat = np.asarray(X, dtype=np.float64).reshape(X.shape[0], len(self.shift))
        flat = np.where(np.isnan(flat), self.fill, flat)
        return ((flat - self.shift) / self.width).astype(dtype).reshape(X.shape)

    def take(self, columns: ArrayLike) -> Self:
        """Return the map of these features only."""
        return type(self)(self.kind, self.fill[columns], self.shift[columns], self.width[columns])

    def to_dict(self) -> dict[str, Any]:
        """Return the state as a name and three arrays, for storing."""
        return {"kind": self.kind, "fill": self.fill, "shift": self.shift, "width": self.width}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the scaler whose ``to_dict`` this is."""
        return cls(str(state["kind"]), *(np.asarray(state[name], dtype=np.float64) for name in ("fill", "shift", "width")))


@dataclass(frozen=True)
class _Columns:
    """What the known cells of each feature look like, shape (d,) each."""

    low: Array
    high: Array
    mean: Array
    deviation: Array


def _dense_columns(X: ArrayLike) -> _Columns:
    flat = np.asarray(X, dtype=np.float64).reshape(X.shape[0], -1)
    known = ~np.isnan(flat)
    count = known.sum(axis=0)
    some = count > 0
    mean = np.where(known, flat, 0.0).sum(axis=0) / np.maximum(count, 1)
    deviation = np.sqrt((np.where(known, flat - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count, 1))
    low = np.where(some, np.where(known, flat, np.inf).min(axis=0), 0.0)
    high = np.where(some, np.where(known, flat, -np.inf).max(axis=0), 0.0)
    return _Columns(low, high, mean, deviation)


def _sparse_columns(X: ArrayLike) -> _Columns:
    """Count the cells that are not stored as zeros."""
    X = sparse.csr_array(X)
    n, d = X.shape
    unknown = np.isnan(X.data) if X.data.dtype.kind == "f" else np.zeros(len(X.data), dtype=bool)
    columns, values = X.indices[~unknown], X.data[~unknown].astype(np.float64)
    stored = np.bincount(columns, minlength=d)
    count = n - np.bincount(X.indices[unknown], minlength=d)
    implicit = count > stored
    mean = np.bincount(columns, weights=values, minlength=d) / np.maximum(count, 1)
    squares = np.bincount(columns, weights=(values - mean[columns]) ** 2, minlength=d) + (count - stored) * mean**2
    low, high = np.where(implicit | (stored == 0), 0.0, np.inf), np.where(implicit | (stored == 0), 0.0, -np.inf)
    np.minimum.at(low, columns, values)
    np.maximum.at(high, columns, values)
    return _Columns(low, high, mean, np.sqrt(squares / np.maximum(count, 1)))


def _check(X: ArrayLike, refuse: bool) -> None:
    """Refuse infinite values, and missing ones if told so."""
    values = X.data if sparse.issparse(X) else np.asarray(X)
    if values.dtype.kind != "f":
        return
    if np.isinf(values).any():
        raise DataError("expected finite features or NaN for missing ones, but some are infinite; replace them first")
    if refuse and np.isnan(values).any():
        raise DataError("expected features without missing values, but some are NaN; use missing='mean' or 'zero'")
