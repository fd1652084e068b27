"""A fitted estimator in one file: weights as tensors, everything else as JSON, nothing that can run code when it is read."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from polytag import registry
from polytag.data.prepare import Prepared
from polytag.data.table import Table
from polytag.data.targets import Target
from polytag.errors import ParameterError, ResumeError
from polytag.estimators.inputs import empty
from polytag.hierarchy import Hierarchy
from polytag.training import Run, checkpoint

_FORMAT = 6
"""Number of the file's layout; a file with a higher one comes from a later version."""

_READABLE = (3, 4, 5, _FORMAT)
"""Layouts that can be read; 3 knew nothing of label enhancement, 4 nothing of hierarchies,
5 nothing of compiling and of epochs that are the model's own."""


def save(estimator: Any, path: Path) -> None:
    """Write a fitted ``DeepMultiLabelClassifier`` to a file."""
    target = estimator._target
    checkpoint.save(
        path,
        {
            "format": _FORMAT,
            "estimator": type(estimator).__name__,
            "params": {name: _plain(name, value) for name, value in estimator.get_params(deep=False).items()},
            "target": {
                "kind": target.kind,
                "dtype": target.dtype.str,
                "single": None if target.single is None else target.single.tolist(),
                "columns": target.columns and [name if isinstance(name, str | int | float) else str(name) for name in target.columns],
            },
            "label_names": list(estimator.label_names_),
            "hierarchy": None if estimator.hierarchy_ is None else estimator.hierarchy_.to_dict(),
            "closed": estimator.closed_,
            "feature_names": [str(name) for name in getattr(estimator, "feature_names_in_", ())],
            "n_features": estimator.n_features_in_,
            "threshold": np.asarray(estimator.threshold_, dtype=np.float64),
            "kind": estimator._kind,
            "shape": list(getattr(estimator, "image_shape_", (estimator.n_features_in_,))),
            "prepared": estimator._prepared.to_dict(),
            "config": estimator.model_.config,
            "model": dict(estimator.model_.state_dict()),
            "history": estimator.history_.to_dict(),
        },
    )


def load(cls: Any, path: Path) -> Any:
    """Read an estimator that ``save`` wrote."""
    state = checkpoint.load(path)
    if state.get("estimator") != cls.__name__:
        raise ResumeError(f"expected a saved {cls.__name__} in {path}, but found {state.get('estimator', 'something else')!r}")
    if state["format"] not in _READABLE:
        readable = f"{_READABLE[0]} to {_READABLE[-1]}"
        raise ResumeError(
            f"{path} has format {state['format']}, but this version of polytag reads {readable}; use the version that wrote it"
        )
    estimator = cls(**_params(state["params"]))
    hierarchy = None if state.get("hierarchy") is None else Hierarchy.of(state["hierarchy"])
    estimator.hierarchy_, estimator.closed_ = hierarchy, state.get("closed", 0)
    target = state["target"]
    dtype, columns = np.dtype(target["dtype"]), target["columns"]
    single = None if target["single"] is None else np.array(target["single"], dtype=dtype)
    named = hierarchy if target["kind"] == "names" else None
    estimator._target = Target(target["kind"], dtype, single, None if columns is None else tuple(columns), named)
    estimator.classes_ = np.arange(len(state["label_names"])) if single is None else single
    estimator.label_names_ = tuple(state["label_names"])
    estimator.n_features_in_ = state["n_features"]
    if state["feature_names"]:
        estimator.feature_names_in_ = np.array(state["feature_names"], dtype=object)
    estimator.threshold_ = state["threshold"]
    estimator._prepared, estimator._kind = Prepared.from_dict(state["prepared"]), state["kind"]
    if state["kind"] == "images":
        estimator.image_shape_ = tuple(state["shape"])
    estimator.history_ = Run.from_dict(state["history"])
    estimator._enhanced, estimator.label_distributions_ = None, None
    sizes = Table(empty(estimator._prepared, state["kind"], tuple(state["shape"]), estimator.label_names_, hierarchy))
    params = {**state["config"], **(estimator.model_params or {})}
    if estimator.loss is not None:
        params["loss"] = registry.get("loss", estimator.loss).from_data(sizes)
    estimator.model_ = registry.get("model", estimator.model).from_data(sizes, **params)
    estimator.model_.load_state_dict(state["model"])
    estimator.model_.eval()
    return estimator


def _params(saved: dict[str, Any]) -> dict[str, Any]:
    """Return parameters as they were before JSON: a hierarchy as an object, levels as whole numbers."""
    params = dict(saved)
    hierarchy, threshold = params.get("hierarchy"), params.get("threshold")
    if isinstance(hierarchy, dict) and set(hierarchy) == {"names", "edges"}:
        params["hierarchy"] = Hierarchy.of(hierarchy)
    if isinstance(threshold, dict):
        params["threshold"] = {int(level): cut for level, cut in threshold.items()}
    return params


def _plain(name: str, value: Any) -> Any:
    """Return a parameter that JSON (or an array) can hold, or say that it cannot be saved."""
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Hierarchy):
        return value.to_dict()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.random.RandomState):
        return None  # the seed has done its work; a generator in mid-stream would not repeat it anyway
    try:
        json.dumps(value)
    except TypeError as error:
        hint = "expected plain values; name the loss or method by its registered name"
        raise ParameterError(f"cannot save the parameter {name}={value!r}: {hint}") from error
    return value
