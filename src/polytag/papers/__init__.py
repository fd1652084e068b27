"""Published experiments and their numbers: data, and the one function that reads them."""

from polytag.papers.experiment import PaperGroup, PaperMethod, PaperQuestion, PaperSet, PaperTrial, choose
from polytag.papers.published import Paper, load_paper, paper_names

__all__ = [
    "Paper",
    "PaperGroup",
    "PaperMethod",
    "PaperQuestion",
    "PaperSet",
    "PaperTrial",
    "choose",
    "load_paper",
    "paper_names",
]
