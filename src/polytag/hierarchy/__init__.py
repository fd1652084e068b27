"""Hierarchies over labels: trees and directed acyclic graphs, and what follows from them for labels and scores."""

from polytag.hierarchy.constraint import Constraint
from polytag.hierarchy.files import read_hierarchy
from polytag.hierarchy.hierarchy import Hierarchy
from polytag.hierarchy.obo import Ontology, read_obo
from polytag.hierarchy.rows import LabelPaths, label_paths, path_levels, path_names

__all__ = [
    "Constraint",
    "Hierarchy",
    "LabelPaths",
    "Ontology",
    "label_paths",
    "path_levels",
    "path_names",
    "read_hierarchy",
    "read_obo",
]
