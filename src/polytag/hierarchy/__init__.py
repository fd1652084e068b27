"""Hierarchies over labels: trees and directed acyclic graphs, and what follows from them for labels and scores."""

from polytag.hierarchy.constraint import Constraint
from polytag.hierarchy.hierarchy import Hierarchy
from polytag.hierarchy.rows import LabelPaths, label_paths, path_levels, path_names

__all__ = ["Constraint", "Hierarchy", "LabelPaths", "label_paths", "path_levels", "path_names"]
