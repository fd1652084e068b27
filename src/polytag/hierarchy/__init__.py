"""Hierarchies over labels: trees and directed acyclic graphs, and what follows from them for labels and scores."""

from polytag.hierarchy.constraint import Constraint
from polytag.hierarchy.files import read_hierarchy
from polytag.hierarchy.hierarchy import Hierarchy
from polytag.hierarchy.lessons import POLICIES, Lessons
from polytag.hierarchy.obo import Ontology, read_obo
from polytag.hierarchy.rows import LabelPaths, label_paths, path_levels, path_names

__all__ = [
    "POLICIES",
    "Constraint",
    "Hierarchy",
    "LabelPaths",
    "Lessons",
    "Ontology",
    "label_paths",
    "path_levels",
    "path_names",
    "read_hierarchy",
    "read_obo",
]
