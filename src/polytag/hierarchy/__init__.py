"""Hierarchies over labels: trees and directed acyclic graphs, and what follows from them for labels and scores."""

from polytag.hierarchy.constraint import Constraint
from polytag.hierarchy.hierarchy import Hierarchy

__all__ = ["Constraint", "Hierarchy"]
