"""polytag: deep multi-label classification in PyTorch. The public API on one page."""

from typing import TYPE_CHECKING

from polytag._lazy import lazy

__version__ = "0.1.0"

if TYPE_CHECKING:
    from polytag import (
        bench,
        classical,
        data,
        enhance,
        errors,
        estimators,
        hierarchy,
        losses,
        metrics,
        models,
        registry,
        selectors,
        testing,
        thresholds,
        training,
    )
    from polytag.data.catalogue import load_dataset, load_parts
    from polytag.data.dataset import Dataset
    from polytag.data.splits import IterativeStratifiedKFold
    from polytag.data.table import Table
    from polytag.estimators import DeepMultiLabelClassifier
    from polytag.hierarchy import Hierarchy
    from polytag.training.trainer import Trainer
    from polytag.types import Batch

_HOMES = {
    **{name: f".{name}" for name in ("bench", "classical", "data", "enhance", "errors", "estimators", "hierarchy", "losses",
                                     "metrics", "models", "registry", "selectors", "testing", "thresholds", "training")},
    "Batch": "polytag.types",
    "Dataset": "polytag.data.dataset",
    "DeepMultiLabelClassifier": "polytag.estimators",
    "Hierarchy": "polytag.hierarchy",
    "IterativeStratifiedKFold": "polytag.data.splits",
    "Table": "polytag.data.table",
    "Trainer": "polytag.training.trainer",
    "load_dataset": "polytag.data.catalogue",
    "load_parts": "polytag.data.catalogue",
}  # fmt: skip

__getattr__, __dir__ = lazy(__name__, _HOMES)

__all__ = [
    "Batch",
    "Dataset",
    "DeepMultiLabelClassifier",
    "Hierarchy",
    "IterativeStratifiedKFold",
    "Table",
    "Trainer",
    "__version__",
    "bench",
    "classical",
    "data",
    "enhance",
    "errors",
    "estimators",
    "hierarchy",
    "load_dataset",
    "load_parts",
    "losses",
    "metrics",
    "models",
    "registry",
    "selectors",
    "testing",
    "thresholds",
    "training",
]
