"""Placeholder docstring, written by the part that fills this package."""
