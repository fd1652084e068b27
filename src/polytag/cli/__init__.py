"""The command line: one thin command a verb."""

from polytag.cli.app import main

__all__ = ["main"]
