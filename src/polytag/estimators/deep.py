"""Any deep model, any batch selector, behind ``fit`` and ``predict``."""

import inspect
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from polytag import registry
from polytag.data.dataset import Dataset
from polytag.data.prepare import Preparation
from polytag.data.splits import Split, holdout
from polytag.data.table import Table
from polytag.enhance import Enhancer
from polytag.errors import DataError, ParameterError
from polytag.estimators import enhancement, hierarchical, saving
from polytag.estimators.inputs import Kind, read_rows
from polytag.losses import Loss
from polytag.models.base import Decides, MultiLabelModel
from polytag.models.frozen import with_encoder_view
from polytag.selectors.base import BatchSelector
from polytag.thresholds import Threshold
from polytag.training import Callback, ProgressBar, Trainer, decide, predict
from polytag.types import Array, ArrayLike

_EPOCHS, _BATCH_SIZE = 100, 128
"""What is taken where neither the caller nor the model says."""


class DeepMultiLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A deep network for many labels, trained on batches of your choice, as a scikit-learn classifier.

    Args:
        model: Name of a model (``polytag.registry.names("model")``); its page says what it reads and what it costs.
        loss: Name of a loss, or a ``Loss``; ``None`` is the model's own.
        selector: Name of a batch selector.
        enhance: Name of a label-enhancement method (``polytag.registry.names("enhancer")``), or an ``Enhancer``: the network also learns
            how much each label describes each row, and predicts by itself as ever. All labels must be known.
        hierarchy: Which label implies which: a ``Hierarchy``; pairs of (parent, child) names; a mapping from labels to their parents; the
            file of one; or a separator such as ``"/"`` where labels are paths. Models that need one learn with it, and no prediction of
            any model contradicts it, see ``closure``.
        threshold: Probability above which a label is predicted; an array of shape (q,); or ``"f1"``, ``"label_f1"``, ``"cardinality"``
            to choose it on the validation rows (on the training rows if there are none). With a hierarchy also ``"level_f1"``, or a cut
            for each level such as ``{1: 0.5, 2: 0.7}``: a prediction stops at a parent where it is less sure of what is below.
        epochs: Number of epochs; ``None`` is the model's own (``training_defaults`` of its class, under ``model_params["preset"]`` if there
            is one), or 100 where it has none.
        batch_size: Rows in a batch; ``None`` is the model's own, or 128 where it has none.
        lr: Learning rate; ``None`` is the model's own, as are its optimiser and schedule.
        weight_decay: L2 penalty; ``None`` is the model's own.
        scale: ``"minmax"``, ``"standard"`` or ``"none"``; how features of a table are scaled, with statistics of the training rows.
        text: How texts become numbers, see ``Preparation``: for example ``{"max_words": 10000}``; ``None``: what the model reads.
        neighbours: What selectors that look at neighbours, and label enhancement, measure distances between texts or images in:
            ``"tfidf"``, ``"pixels"``, ``"encoder"`` (the model's own, before training), or ``"auto"``, see ``Preparation``.
        validation_fraction: Share of the rows, stratified by labels, on which the best epoch is chosen; 0 uses all rows for training and
            keeps the last epoch.
        monitor: Metric by which the best epoch is chosen, or ``"loss"``; ``None`` is the model's own, mostly ``"macro_auc"``.
        patience: Epochs without improvement after which training stops; ``None`` is the model's own, ``numpy.inf`` never stops early.
        precision: ``"float32"`` or ``"bfloat16"``, in training and prediction; on the CPU a network trained in float32 predicts in
            float64, so that the score of a row does not depend on the rows predicted with it.
        compile: Whether the training step is compiled (``torch.compile``), see ``polytag.Trainer``; prediction is not.
        device: ``"auto"`` takes a GPU if there is one.
        closure: How scores are brought into line with the hierarchy: ``"up"`` (a label is as likely as the likeliest below it), ``"down"``
            (as the least likely above it), ``"product"`` (scores are read as probabilities given the parent), or ``None``, not at all.
            Where cuts part a chosen label from its parent, ``"up"`` adds the parent, the other two drop the label.
        random_state: Seed of the weights, the batches, the validation rows and the model's noise.
        model_params: Further parameters of the model.
        selector_params: Further parameters of the selector.
        enhance_params: Further parameters of the label-enhancement method, such as ``{"strategy": "s", "alpha": 0.1}``.
        verbose: 1 shows a progress bar.

    Attributes:
        model_: The trained network.
        history_: The ``Run`` of its training.
        classes_: Label numbers, shape (q,), as scikit-learn's multi-label networks have it; the two values of a single label.
        label_names_: Names of the labels, from the columns of a data frame or numbered.
        threshold_: The cut of each label, shape (q,); not used by a model that decides by itself (BP-MLL, HCAL) if ``threshold`` is 0.5.
        hierarchy_: The ``Hierarchy`` over the labels, or ``None``.
        closed_: Number of ancestors that were added to Y in ``fit``, because a label was there without them.
        label_distributions_: What a two-stage method of ``enhance`` recovered before training, shape (n, q), rows as they came to ``fit``
            and NaN for those held out for validation; ``None`` without one (``label_distributions`` asks one-stage methods).
        n_features_in_, feature_names_in_: As everywhere in scikit-learn (for texts 1, for pictures the number of channels).

    Cost: see the page of the model and of the selector; memory O(n d + n q) besides the network.

    Differs: scikit-learn has no common form for several probabilities a row; ``predict_proba`` returns one matrix (n, q) with the
        probability of each label. For a single label given as a vector it returns (n, 2), as other binary classifiers do.

    Example:
        >>> from sklearn.datasets import make_multilabel_classification
        >>> from polytag import DeepMultiLabelClassifier
        >>> X, Y = make_multilabel_classification(random_state=0)
        >>> model = DeepMultiLabelClassifier("linear", epochs=3, random_state=0).fit(X, Y)
        >>> model.predict_proba(X).shape, model.predict(X).shape
        ((100, 5), (100, 5))
    """

    def __init__(
        self,
        model: str = "tabm",
        *,
        loss: str | Loss | None = None,
        selector: str = "random",
        enhance: str | Enhancer | None = None,
        hierarchy: Any = None,
        threshold: float | str | ArrayLike = 0.5,
        epochs: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        weight_decay: float | None = None,
        scale: str = "minmax",
        text: dict[str, Any] | None = None,
        neighbours: str = "auto",
        validation_fraction: float = 0.1,
        monitor: str | None = None,
        patience: float | None = None,
        precision: str = "float32",
        compile: bool = False,
        closure: str | None = "up",
        device: str = "auto",
        random_state: Any = None,
        model_params: dict[str, Any] | None = None,
        selector_params: dict[str, Any] | None = None,
        enhance_params: dict[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.loss = loss
        self.selector = selector
        self.enhance = enhance
        self.hierarchy = hierarchy
        self.threshold = threshold
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.scale = scale
        self.text = text
        self.neighbours = neighbours
        self.validation_fraction = validation_fraction
        self.monitor = monitor
        self.patience = patience
        self.precision = precision
        self.compile = compile
        self.closure = closure
        self.device = device
        self.random_state = random_state
        self.model_params = model_params
        self.selector_params = selector_params
        self.enhance_params = enhance_params
        self.verbose = verbose

    def fit(self, X: ArrayLike, Y: Any) -> Self:
        """Train on X and Y (n, q).

        Args:
            X: A table (n, d), dense, sparse or data frame, of finite numbers; n texts, for any model (tabular models read their words'
                TF-IDF weights); or pictures (n, channels, height, width), for models that read pictures.
            Y: 0 and 1, dense, sparse or data frame; NaN is an unknown label. One label may also come as a vector with two values. With a
                hierarchy, a list may name the labels of each row instead: a path (or name), several joined by ``@``, or a list of them;
                what is above them is meant as well.

        Returns:
            The estimator itself.

        Raises:
            DataError: Shapes or values do not fit, the model does not read this kind of data, a label is unknown to ``enhance``, or the
                hierarchy has other labels than Y.
            UnknownNameError: No model, loss, selector or enhancer of that name.
            ParameterError: A parameter makes no sense.
        """
        model_class, selector_class = registry.get("model", self.model), registry.get("selector", self.selector)
        enhancer = enhancement.chosen(self.enhance, self.enhance_params)
        X, kind = read_rows(self, X)
        given = hierarchical.read_labels(Y, self.hierarchy, self.closure)
        labels, self._target, self.hierarchy_, self.closed_ = given
        if labels.shape[0] != X.shape[0]:
            counts = f"{X.shape[0]} and {labels.shape[0]}"
            raise DataError(f"expected as many rows in X as in Y, but found input variables with inconsistent numbers of samples: {counts}")
        cut = Threshold.named(self.threshold, self.hierarchy_)
        cut.fit(np.full((1, labels.shape[1]), 0.5), np.zeros((1, labels.shape[1])))  # what does not fit is said now, not after training
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        data = Dataset(X, labels, label_names=given.names, kind=kind, hierarchy=self.hierarchy_)
        rows, held_out = self._split(data, seed)
        train, valid = self._prepare(data, rows, held_out, model_class)
        params = dict(self.model_params or {})
        if self.loss is not None:
            params["loss"] = self.loss if isinstance(self.loss, Loss) else registry.get("loss", self.loss).from_data(train)
        self.model_ = model_class.from_data(train, seed=seed, **params)
        if self.neighbours == "encoder":
            train = with_encoder_view(train, self.model_)
        trained = self.model_ if enhancer is None else enhancement.around(self.model_, enhancer, train, valid, seed)
        trainer, batch_size = self._training(model_class, seed)
        chooser = self._chooser(selector_class, train, seed, batch_size, trainer.epochs)
        self.history_ = trainer.fit(trained, train, chooser, valid)
        trained.eval()
        self._enhanced, self.label_distributions_ = enhancement.outcome(trained, rows, data.n)
        self.label_names_ = data.label_names
        self.classes_ = np.arange(data.q) if self._target.single is None else self._target.single
        if self._decides_itself:
            self.model_.fit_threshold(train)
        shown = train if valid is None else valid
        self.threshold_ = cut.fit(_sigmoid(self._logits(shown)), shown.dataset.Y).values
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the logits, shape (n, q), in line with the hierarchy if there is one; (n,) for a single label given as a vector."""
        check_is_fitted(self)
        logits = self._logits(self._rows(X))
        return logits[:, 0] if self._target.kind == "vector" else logits

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return the probability of each label, shape (n, q); (n, 2) for a single label given as a vector."""
        proba = _sigmoid(self.decision_function(X))
        return np.stack([1 - proba, proba], axis=1) if self._target.kind == "vector" else proba

    def predict(self, X: ArrayLike) -> Any:
        """Return the labels in the form that Y had in ``fit``: array, sparse matrix, data frame or vector.

        Where Y named the labels of each row, a list with the names of the most specific ones comes for each row.
        """
        check_is_fitted(self)
        table = self._rows(X)
        if self._decides_itself:
            found = decide(self.model_, table, precision=self._precision(table))
        else:
            rule = Threshold.named(self.threshold, self.hierarchy_)
            rule.values = self.threshold_
            found = rule.predict(_sigmoid(self._logits(table)))
        return self._target.restore(hierarchical.mended(found, self.hierarchy_, self.closure))

    def label_distributions(self, X: ArrayLike, Y: ArrayLike) -> Array:
        """Return how much each label describes each row, shape (n, q), rows sum to 1, as a one-stage method (FLEM) has learnt to say it.

        Two-stage methods recover the distributions of given rows and nothing that could be asked about others: those of the training rows
        are in ``label_distributions_``.

        Args:
            X: Rows, as for ``predict``.
            Y: Their labels, as for ``fit``; none unknown.

        Raises:
            ParameterError: There is no method to ask: ``enhance`` is ``None`` or a two-stage method, or the estimator was read from a
                file, which holds the model alone.
            DataError: Shapes or values do not fit.
        """
        check_is_fitted(self)
        enhanced = enhancement.require_learnt(self)
        X, kind = read_rows(self, X, kind=self._kind)
        labels = hierarchical.read_labels(Y, self.hierarchy_, self.closure).Y
        if labels.shape != (X.shape[0], len(self.label_names_)):
            raise DataError(f"expected labels of shape {(X.shape[0], len(self.label_names_))}, but got {labels.shape}")
        table = self._table(Dataset(X, labels, kind=kind))
        return enhancement.distributions(enhanced, table)

    def save(self, path: str | Path) -> None:
        """Write the fitted estimator to one file (safetensors, JSON in its header; no pickle); of an enhanced one, what predicts.

        Raises:
            ParameterError: A parameter is an object that cannot be written as JSON, such as a ``Loss`` or an ``Enhancer``.
        """
        check_is_fitted(self)
        saving.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote; predictions are the same to the bit.

        Raises:
            ResumeError: The file is damaged or holds something else.
        """
        return saving.load(cls, Path(path))  # type: ignore[no-any-return]

    def _split(self, data: Dataset, seed: int) -> tuple[Array, Array | None]:
        """Return training and validation rows."""
        if not 0 <= self.validation_fraction < 1:
            raise ParameterError(f"expected 0 <= validation_fraction < 1, but got {self.validation_fraction!r}")
        if round(self.validation_fraction * data.n) < 1 or data.n < 2:
            return np.arange(data.n), None
        split = holdout(data, test=self.validation_fraction, valid=0, seed=seed)
        return split.train, split.test

    def _prepare(self, data: Dataset, rows: Array, held_out: Array | None, model: type[MultiLabelModel]) -> tuple[Table, Table | None]:
        """Learn scale or words from the training rows; return training and validation table."""
        others = np.arange(0) if held_out is None else held_out
        how = Preparation(scale=self.scale, text=self.text, neighbours=self.neighbours)  # type: ignore[arg-type]
        tokenizer = model.tokenizer(self.model_params or {}) if data.kind == "text" else None
        self._prepared = how.fit(data, Split(rows, others, np.arange(0)), inputs=model.reads(self.model_params or {}), tokenizer=tokenizer)
        self._kind: Kind = data.kind  # type: ignore[assignment]
        return self._table(data.take(rows)), None if held_out is None else self._table(data.take(held_out))

    def _chooser(self, selector: Any, train: Table, seed: int, batch_size: int, epochs: int) -> BatchSelector:
        """Return the selector of that class for these rows."""
        params = dict(self.selector_params or {})
        known = registry.keywords(selector)
        for name in params:
            if known and name not in known:
                raise ParameterError(registry.unknown(f"parameter of selector {self.selector!r}", name, sorted(known)))
        if "epochs" in inspect.signature(selector).parameters:
            params.setdefault("epochs", epochs)
        return selector(train.targets, batch_size, x=train.dataset.features, seed=seed, **params)  # type: ignore[no-any-return]

    def _table(self, data: Dataset) -> Table:
        """Prepare the rows and put them on the device."""
        auto = "cuda" if torch.cuda.is_available() else "cpu"
        return Table(self._prepared.transform(data), auto if self.device == "auto" else self.device)

    def _training(self, model: type[MultiLabelModel], seed: int) -> tuple[Trainer, int]:
        """Return the trainer and the rows in a batch: what the model's authors do, and over it what was asked for."""
        callbacks: tuple[Callback, ...] = (ProgressBar(self.model),) if self.verbose else ()
        usual = {"epochs": _EPOCHS, "batch_size": _BATCH_SIZE}
        own = usual | model.training_defaults((self.model_params or {}).get("preset"), epochs=self.epochs)
        names = ("epochs", "batch_size", "lr", "weight_decay", "monitor", "patience")
        chosen = own | {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        batch_size: int = chosen.pop("batch_size")
        return Trainer(**{**chosen, "precision": self.precision, "compile": self.compile, "seed": seed, "callbacks": callbacks}), batch_size

    def _rows(self, X: Any) -> Table:
        """Return new rows as the model sees them; their labels are blank."""
        X, kind = read_rows(self, X, kind=self._kind)
        blank = np.zeros((X.shape[0], len(self.label_names_)), dtype=np.uint8)
        return self._table(Dataset(X, blank, kind=kind))

    @property
    def _decides_itself(self) -> bool:
        """Whether the model's own decisions hold: it has some, and nobody asks for another cut than the usual one half."""
        return isinstance(self.model_, Decides) and isinstance(self.threshold, int | float) and self.threshold == 0.5

    def _precision(self, table: Table) -> str:
        """Return the precision of predictions: on a CPU those of a row shall not depend on the rows beside it."""
        return "float64" if self.precision == "float32" and table.device.type == "cpu" else self.precision

    def _logits(self, table: Table) -> Array:
        logits = predict(self.model_, table, precision=self._precision(table)).double().numpy()
        return hierarchical.coherent(logits, self.hierarchy_, self.closure)

    def __sklearn_tags__(self) -> Any:
        """Say what the estimator can do: many binary labels, sparse input, nothing random beyond its seed."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.multi_label = True
        return tags


def _sigmoid(logits: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(logits))
