"""Data sets: reading, describing, splitting, preparing, and showing them to torch."""

from typing import TYPE_CHECKING

from polytag._lazy import lazy

if TYPE_CHECKING:
    from polytag.data.dataset import Dataset
    from polytag.data.digits import load_digits_scenes
    from polytag.data.labels import LabelIndex
    from polytag.data.mapped import open_mapped, write_mapped
    from polytag.data.missing import drop_labels
    from polytag.data.prepare import PRESETS, Preparation, Prepared, PreparedSplit
    from polytag.data.pretrained import PretrainedTokenizer
    from polytag.data.readers.arff import read_arff
    from polytag.data.readers.clus import read_clus
    from polytag.data.readers.frame import read_table
    from polytag.data.readers.images import read_images
    from polytag.data.readers.libsvm import read_libsvm
    from polytag.data.readers.mat import read_mat
    from polytag.data.readers.texts import read_texts
    from polytag.data.scale import Scaler
    from polytag.data.splits import IterativeStratifiedKFold, Split, holdout, kfold
    from polytag.data.synthetic import make_multilabel
    from polytag.data.synthetic_distributions import make_label_distribution
    from polytag.data.table import Table
    from polytag.data.tfidf import TfidfFeatures
    from polytag.data.tokenizer import Tokenizer

_HOMES = {
    "Dataset": "polytag.data.dataset",
    "IterativeStratifiedKFold": "polytag.data.splits",
    "LabelIndex": "polytag.data.labels",
    "PRESETS": "polytag.data.prepare",
    "Preparation": "polytag.data.prepare",
    "Prepared": "polytag.data.prepare",
    "PreparedSplit": "polytag.data.prepare",
    "Scaler": "polytag.data.scale",
    "Split": "polytag.data.splits",
    "Table": "polytag.data.table",
    "read_arff": "polytag.data.readers.arff",
    "read_clus": "polytag.data.readers.clus",
    "read_libsvm": "polytag.data.readers.libsvm",
    "read_mat": "polytag.data.readers.mat",
    "read_table": "polytag.data.readers.frame",
    "read_texts": "polytag.data.readers.texts",
    "read_images": "polytag.data.readers.images",
    "PretrainedTokenizer": "polytag.data.pretrained",
    "TfidfFeatures": "polytag.data.tfidf",
    "Tokenizer": "polytag.data.tokenizer",
    "drop_labels": "polytag.data.missing",
    "holdout": "polytag.data.splits",
    "kfold": "polytag.data.splits",
    "load_digits_scenes": "polytag.data.digits",
    "make_label_distribution": "polytag.data.synthetic_distributions",
    "make_multilabel": "polytag.data.synthetic",
    "open_mapped": "polytag.data.mapped",
    "write_mapped": "polytag.data.mapped",
}

__getattr__, __dir__ = lazy(__name__, _HOMES)

__all__ = [
    "PRESETS",
    "Dataset",
    "IterativeStratifiedKFold",
    "LabelIndex",
    "Preparation",
    "Prepared",
    "PreparedSplit",
    "PretrainedTokenizer",
    "Scaler",
    "Split",
    "Table",
    "TfidfFeatures",
    "Tokenizer",
    "drop_labels",
    "holdout",
    "kfold",
    "load_digits_scenes",
    "make_label_distribution",
    "make_multilabel",
    "open_mapped",
    "read_arff",
    "read_clus",
    "read_images",
    "read_libsvm",
    "read_mat",
    "read_table",
    "read_texts",
    "write_mapped",
]
