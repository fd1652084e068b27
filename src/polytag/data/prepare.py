"""From a data set and a split to what a model is trained and tested on; nothing is learnt from test rows, unless asked for."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from polytag.data.dataset import Dataset
from polytag.data.pretrained import PretrainedTokenizer
from polytag.data.scale import FILLS, SCALES, Scaler
from polytag.data.splits import Split
from polytag.data.tfidf import TfidfFeatures
from polytag.data.tokenizer import Tokenizer
from polytag.errors import DataError, ParameterError
from polytag.types import Array

AUTHORS_FEATURE_SHARES: Mapping[str, float] = {
    **{f"rcv1subset{part}": 0.02 for part in range(1, 6)},
    "yahoo-arts": 0.05,
    "yahoo-business": 0.05,
    "tmc2007": 0.01,
}
"""Share of the features that the code published with the adaptive batch selection paper keeps, by data set; all of them elsewhere.

The shares are of the complete feature lists (47,236 for rcv1, 49,060 for tmc2007); sets that come reduced have other names and stay whole.
"""


_FORMS: Mapping[str, Any] = {"tokens": Tokenizer, "tfidf": TfidfFeatures}
"""What texts can become."""

_NEIGHBOURS: Mapping[str, tuple[str, ...]] = {
    "auto": ("table", "TF-IDF", "tokens", "images"),
    "tfidf": ("TF-IDF", "tokens"),
    "pixels": ("images",),
    "encoder": ("tokens", "images"),
}
"""What neighbours can be searched by, and the forms of data that have it."""

_TEXT_SWITCHES = {"as", *(name for form in _FORMS.values() for name in inspect.signature(form.fit).parameters if name != "texts")}


class PreparedSplit(NamedTuple):
    """The three parts of a split, ready for a model, and what was done to them."""

    train: Dataset
    valid: Dataset
    test: Dataset
    description: dict[str, Any]


@dataclass(frozen=True)
class Preparation:
    """What is done to a data set before training: switches, to be printed with every table that used them.

    The order is: drop rare labels, keep frequent features, drop rows without labels, fill in missing values, scale.

    Args:
        scale: ``"minmax"`` to [0, 1], ``"standard"`` to mean 0 and deviation 1, ``"none"``. Sparse ones are not shifted, see ``Scaler``.
        scale_on: Rows that the scale and the filled-in values are learnt from: ``"train"``, or ``"all"`` (looks at test rows).
        eps: Added to the width of each feature; DELA's published code uses 1e-5.
        missing: What a missing value becomes: the ``"mean"`` of the known ones, ``"zero"`` or an error (``"refuse"``).
        min_label_count: Drop labels with at most so many positives; ``None`` keeps all.
        count_on: Rows in which positives are counted: ``"all"``, so that all folds have the same labels, or ``"train"``.
        keep_features: Keep the ``floor(share * d)`` features with the largest column sums; a share, a share by data set name (as in
            the catalogue: lower case, ``-``), or ``None``.
        keep_on: Rows over which columns are summed: ``"train"`` or ``"all"``.
        drop_unlabelled: Drop rows that have no label (left): of the ``"train"`` part, of ``"all"`` parts, or ``False`` of none.
        text: How raw texts become numbers, by what their training rows say: ``{"as": "tokens"}`` (word numbers, see ``Tokenizer``) or
            ``{"as": "tfidf"}`` (a table, see ``TfidfFeatures``); without ``"as"``, what the model reads. Arguments of their ``fit`` can
            stand beside it; ``None`` takes the defaults. Tokens and images are neither filled in nor scaled.
        neighbours: What distances between rows are measured in, by selectors that look at neighbours and by label enhancement: ``"tfidf"``
            (texts), ``"pixels"`` (images), ``"encoder"`` (texts and images: what the encoder of the model that is to be trained makes of
            the rows before training, see ``polytag.models.frozen.with_encoder_view``), or ``"auto"``: the view of the data set if it has
            one, else TF-IDF, pixels, or the features of a table.

    Raises:
        ParameterError: A value makes no sense; the message names all that do not.

    Example:
        >>> from polytag.data.splits import holdout
        >>> data = Dataset(np.arange(20.0).reshape(10, 2), np.tile([[1, 0], [0, 1]], (5, 1)))
        >>> parts = Preparation().prepare(data, holdout(data, test=0.4, valid=0.0))
        >>> float(parts.train.X.min()), float(parts.train.X.max()), parts.train.n, parts.test.n
        (0.0, 1.0, 6, 4)
    """

    scale: Literal["minmax", "standard", "none"] = "minmax"
    scale_on: Literal["train", "all"] = "train"
    eps: float = 0.0
    missing: Literal["mean", "zero", "refuse"] = "mean"
    min_label_count: int | None = None
    count_on: Literal["train", "all"] = "all"
    keep_features: float | Mapping[str, float] | None = None
    keep_on: Literal["train", "all"] = "train"
    drop_unlabelled: Literal[False, "train", "all"] = False
    text: Mapping[str, Any] | None = None
    neighbours: Literal["auto", "tfidf", "pixels", "encoder"] = "auto"

    def __post_init__(self) -> None:
        rules = {
            "scale": self.scale in SCALES,
            "missing": self.missing in FILLS,
            "eps": self.eps >= 0,
            **{name: getattr(self, name) in ("train", "all") for name in ("scale_on", "count_on", "keep_on")},
            "min_label_count": self.min_label_count is None or self.min_label_count >= 0,
            "keep_features": all(0 < share <= 1 for share in self._shares()),
            "drop_unlabelled": self.drop_unlabelled is False or self.drop_unlabelled in ("train", "all"),
            "text": self.text is None or (self.text.get("as", "tokens") in _FORMS and set(self.text) <= _TEXT_SWITCHES),
            "neighbours": self.neighbours in _NEIGHBOURS,
        }
        wrong = [f"{name}={getattr(self, name)!r}" for name, fits in rules.items() if not fits]
        if wrong:
            raise ParameterError(f"Preparation got values that make no sense: {', '.join(wrong)}; see its documentation for the choices")

    def _shares(self) -> list[float]:
        if isinstance(self.keep_features, Mapping):
            return list(self.keep_features.values())
        return [] if self.keep_features is None else [self.keep_features]

    def kept_labels(self, dataset: Dataset, split: Split | None = None) -> Array:
        """Return the label columns that stay. Without a split all rows count, as before a split is made."""
        if self.min_label_count is None:
            return np.arange(dataset.q)
        counted = dataset.take(split.train) if split is not None and self.count_on == "train" else dataset
        kept = np.flatnonzero(counted.labels.counts > self.min_label_count)
        if not len(kept):
            raise DataError(
                f"expected a label with more than {self.min_label_count} positives, but the commonest one of {dataset.name!r} has "
                f"{counted.labels.counts.max(initial=0)}; lower min_label_count"
            )
        return kept

    def fit(self, dataset: Dataset, split: Split, *, inputs: Sequence[str] = ("table",), tokenizer: Any = None) -> "Prepared":
        """Learn everything that is to be learnt.

        Args:
            dataset: All rows.
            split: Which of them are training rows.
            inputs: Kinds of data that the model reads; what texts are turned into.
            tokenizer: Turns texts into tokens as a pretrained model wants them, instead of one that learns its words here.

        Raises:
            DataError: There are no training rows, no label is left, features are infinite or refused, or ``neighbours`` does not fit the
                kind of data.

        Cost: O(stored cells of X) time and memory.
        """
        labels = self.kept_labels(dataset, split)
        words = None
        if dataset.kind == "text":
            words = tokenizer or self._words(inputs, dataset.X[self._kept_rows(dataset, split.train, labels, "train")])
        self._check_neighbours("TF-IDF" if isinstance(words, TfidfFeatures) else "tokens" if words is not None else dataset.kind)
        if dataset.kind != "table":
            return Prepared(self, labels, np.arange(dataset.d), None, words)
        features = self._kept_features(dataset, split)
        X = dataset.X if features is None else dataset.X[:, features]
        learnt_from = X if self.scale_on == "all" else X[self._kept_rows(dataset, split.train, labels, "train")]
        scaler = Scaler.fit(learnt_from, self.scale, missing=self.missing, eps=self.eps)
        return Prepared(self, labels, np.arange(dataset.d) if features is None else features, scaler)

    def prepare(self, dataset: Dataset, split: Split, *, inputs: Sequence[str] = ("table",), tokenizer: Any = None) -> PreparedSplit:
        """Fit on the split and return its three parts; arguments as in ``fit``."""
        return self.fit(dataset, split, inputs=inputs, tokenizer=tokenizer).apply(dataset, split)

    def _check_neighbours(self, form: str) -> None:
        if form not in _NEIGHBOURS[self.neighbours]:
            fitting = " or ".join(repr(name) for name, forms in _NEIGHBOURS.items() if form in forms)
            came = {"TF-IDF": "texts as a table of TF-IDF weights", "table": "a table of features"}.get(form, form)
            raise DataError(f"expected neighbours={fitting} for {came}, but got {self.neighbours!r}")

    def _words(self, inputs: Sequence[str], texts: Array) -> Any:
        """Learn from training texts what turns texts into numbers; switches of the other form have no say."""
        how = dict(self.text or {})
        form = _FORMS[how.get("as", "tokens" if "tokens" in inputs else "tfidf")]
        known = inspect.signature(form.fit).parameters
        return form.fit(texts, **{name: value for name, value in how.items() if name in known})

    def _kept_features(self, dataset: Dataset, split: Split) -> Array | None:
        share = self.keep_features
        if isinstance(share, Mapping):
            share = share.get(dataset.name.lower().replace("_", "-"))
        if share is None or share == 1:
            return None
        if dataset.X.ndim > 2:
            raise DataError(f"expected a table of features to keep a share of, but X has shape {dataset.X.shape}; set keep_features=None")
        X = dataset.X if self.keep_on == "all" else dataset.X[split.train]
        sums = np.asarray(X.sum(axis=0) if hasattr(X, "indptr") else np.nansum(X, axis=0)).ravel()
        most = np.argsort(-sums, kind="stable")[: max(1, int(share * dataset.d + 1e-9))]
        return np.sort(most)

    def _kept_rows(self, dataset: Dataset, rows: Array, labels: Array, part: str) -> Array:
        if self.drop_unlabelled is False or (self.drop_unlabelled == "train" and part != "train"):
            return rows
        index = dataset.labels
        kept = np.isin(index.columns, labels)
        has = np.zeros(dataset.n, dtype=bool)
        has[np.repeat(np.arange(dataset.n), index.sizes)[kept]] = True
        left: Array = rows[has[rows]]
        return left

    def to_dict(self) -> dict[str, Any]:
        """Return the switches as plain values."""
        switches = asdict(self)
        if isinstance(self.keep_features, Mapping):
            switches["keep_features"] = dict(self.keep_features)
        switches["text"] = None if self.text is None else dict(self.text)
        silent = {"text": None, "neighbours": "auto"}  # switches that came later; at their defaults, older cells keep their keys
        return {name: value for name, value in switches.items() if name not in silent or value != silent[name]}


@dataclass(frozen=True)
class Prepared:
    """What a preparation has learnt; applies it to any rows of the same kind.

    Attributes:
        preparation: The switches.
        labels: Label columns that stay.
        features: Feature columns that stay.
        scaler: The map of the features that stay; ``None`` for texts, tokens and images.
        words: What turns texts into tokens or into a table; ``None`` where there are none.
    """

    preparation: Preparation
    labels: Array
    features: Array
    scaler: Scaler | None
    words: Any = None

    def transform(self, dataset: Dataset) -> Dataset:
        """Return the data set with the labels and features that stay, filled in and scaled; all rows stay."""
        kept = dataset if len(self.labels) == dataset.q else dataset.with_labels(self.labels)
        if self.preparation.neighbours != "auto" and kept.view is not None:
            kept = replace(kept, view=None)
        if self.words is not None:
            X = self.words.transform(kept.X)
            if hasattr(X, "indptr"):
                return replace(kept, X=X, feature_names=self.words.names, kind="table")
            return replace(kept, X=X, feature_names=(), kind="tokens", vocabulary=self.words.vocabulary)
        if self.scaler is None:
            return kept
        kept = kept if len(self.features) == dataset.d else kept.with_features(self.features)
        return replace(kept, X=self.scaler.transform(kept.X))

    def apply(self, dataset: Dataset, split: Split) -> PreparedSplit:
        """Return the three parts of the split and a description of what was done."""
        parts = {}
        for part in Split._fields:
            rows = np.asarray(getattr(split, part), dtype=np.int64)
            parts[part] = self.transform(dataset.take(self.preparation._kept_rows(dataset, rows, self.labels, part)))
        return PreparedSplit(**parts, description=self.describe(dataset, split, [parts[part].n for part in Split._fields]))

    def describe(self, dataset: Dataset, split: Split, left: list[int]) -> dict[str, Any]:
        """Return every switch with what it did, as plain values for printing."""
        given = [len(getattr(split, part)) for part in Split._fields]
        return {
            **self.preparation.to_dict(),
            "rows": dict(zip(Split._fields, left)),
            "rows_dropped": sum(given) - sum(left),
            "labels": len(self.labels),
            "labels_dropped": [dataset.label_names[j] for j in sorted(set(range(dataset.q)) - set(self.labels.tolist()))],
            "features": len(self.features),
            "features_dropped": dataset.d - len(self.features),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the state: switches, columns, and the scaler's arrays."""
        return {
            "preparation": self.preparation.to_dict(),
            "labels": self.labels,
            "features": self.features,
            "scaler": None if self.scaler is None else self.scaler.to_dict(),
            "words": None if self.words is None else {"kind": type(self.words).__name__, **self.words.to_dict()},
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Self:
        """Return the object whose ``to_dict`` this is."""
        labels, features = (np.asarray(state[name], dtype=np.int64) for name in ("labels", "features"))
        scaler = None if state["scaler"] is None else Scaler.from_dict(state["scaler"])
        words = dict(state.get("words") or {})
        kinds = {kind.__name__: kind for kind in (Tokenizer, TfidfFeatures, PretrainedTokenizer)}
        reader = kinds[words.pop("kind")].from_dict(words) if words else None
        return cls(Preparation(**state["preparation"]), labels, features, scaler, reader)


PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "clean": {
        "split": {"valid": 0.1, "valid_from": "train", "order": 1, "keep_duplicates_together": False},
        "preparation": {},
    },
    "authors-2024": {
        "split": {"valid_from": "test", "order": 1, "keep_duplicates_together": False, "seed": 42},
        "preparation": {
            "scale_on": "all",
            "min_label_count": 20,
            "count_on": "all",
            "keep_features": dict(AUTHORS_FEATURE_SHARES),
            "keep_on": "all",
        },
    },
}
"""Named protocols: keyword arguments of ``kfold`` under ``"split"`` and of ``Preparation`` under ``"preparation"``.

``clean`` learns from training rows only. ``authors-2024`` is the protocol of the code published with the adaptive batch selection paper
(Zhou, Liu, Wang and Tsoumakas, 2024), quirks included: min-max scale learnt on all rows, features chosen by column sums over all rows,
labels with at most 20 positives dropped, validation on a random half of the test fold and test on the other half, seed 42.
"""
