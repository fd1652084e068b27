"""Data sets: reading, describing, splitting, preparing, and showing them to torch."""

from typing import TYPE_CHECKING

from polytag._lazy import lazy

if TYPE_CHECKING:
    from polytag.data.dataset import Dataset
    from polytag.data.labels import LabelIndex
    from polytag.data.table import Table

_HOMES = {
    "Dataset": "polytag.data.dataset",
    "LabelIndex": "polytag.data.labels",
    "Table": "polytag.data.table",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)

__all__ = ["Dataset", "LabelIndex", "Table"]
