"""Published experiments and their numbers: data, and the one function that reads them."""

from polytag.papers.published import Paper, load_paper, paper_names

__all__ = ["Paper", "load_paper", "paper_names"]
