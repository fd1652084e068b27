"""HCAL: each level of a hierarchy is a task, and the levels that are worst at the moment count most."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeAlias, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.hierarchy import Hierarchy
from polytag.losses import BCE
from polytag.models.base import MultiLabelModel, Objective, Preset
from polytag.models.level_tasks import Aggregate, LevelTask, LevelWeights, Units, Weighting, class_means, class_units
from polytag.models.row_encoder import Augment, RowEncoder
from polytag.registry import get, names, register
from polytag.thresholds import GlobalF1
from polytag.types import Array, Batch

Decode: TypeAlias = Literal["independent", "top_down", "bottom_up"]
PerLevel: TypeAlias = Literal["one", "at_most_one", "several"]

_SPEED = (5.0, 10.0, 20.0)
"""Learning rate of the prototypes of the finest level, the next one, and all above, relative to the encoder."""


@register("model", "hcal")
class HCAL(MultiLabelModel):
    """Learns one prototype for each class of each level of a hierarchy and weighs the levels by how badly they do at the moment.

    An encoder and a linear layer turn a row into a feature f of length 1. A class has a learnt prototype, also brought to length 1. The
    finest level (k = 1) compares each instance with its prototypes, ``L_1 = mean_i CE(f_i . P_1 / temperature, y_i)``; the levels above
    compare the mean feature of the instances of each class in the batch, ``L_k = mean_c CE(F_c . P_k / temperature, c)``. The loss is
    ``sum_k lambda_k L_k`` with ``lambda = softmax(L / gamma)``, which has no gradient. In training prototypes are disturbed a little.
    Prediction compares the feature of the row with the prototypes of every level.

    Levels are those of ``Hierarchy.levels``, which count from the top: the paper's k is ``depth + 1 - level``. An instance may have several
    classes of a level, or none: it then is to be spread evenly over its classes, or has no part in that level.

    Args:
        d: Number of features (channels, tokens).
        q: Number of labels.
        hierarchy: Which label implies which; ``from_data`` fills this and the next four in.
        shape: Shape of a row; ``None`` is (d,).
        vocabulary: Number of token numbers; 0 where there are no tokens.
        per_level: How many classes of a level a row has: ``"one"``, ``"at_most_one"`` or ``"several"``; one word, or one a level from the
            top down. It says how ``decide`` picks: the best class, the best one if it is above a threshold, or all above the threshold.
        rows: Number of training rows; says how long an epoch is, for ``weighting="rate"``.
        encoder: Any encoder that gives a vector, see ``RowEncoder``: by default an MLP for tables, a small CNN for pictures, the mean of
            word vectors for tokens; ``"resnet18"`` is the published one.
        encoder_params: Parameters of the encoder.
        width: Width of the features.
        noise: Prototypes move by up to this in each coordinate at each training step; 0 leaves them.
        temperature: What cosines are divided by.
        aggregate: ``"instance_mean"``: F_c is the mean over instances; ``"class_mean"``: the mean over the children of c in the batch;
            ``"none"``: all levels compare instances.
        loss: ``"softmax"``, or ``"bce"``, also as ``BCE()``: one sigmoid a class on ``a cos + b``, with a and b learnt for each level.
        weighting: ``"loss_softmax"``, ``"fixed"``, ``"uncertainty"`` or ``"rate"``, see ``LevelWeights``.
        gamma: Softness of ``"loss_softmax"``.
        level_weights: For ``"fixed"``, from the top level down; ``None``: all the same.
        decode: How ``decide`` combines the levels: ``"independent"`` lets each decide by itself; ``"top_down"`` looks only below what was
            picked above; ``"bottom_up"`` adds all ancestors of what was picked below. The last two contradict no hierarchy. ``None``:
            ``"independent"`` where each row has one class a level, else ``"bottom_up"``.
        augment: Pictures are moved and mirrored in training (``"crop_flip"``), and turned (``"crop_flip_rotate"``).

    Raises:
        ParameterError: A parameter makes no sense.
        DataError: The hierarchy has other labels, or the encoder cannot read the rows.

    Cost: a step that of the encoder, O(b q width) for features and logits, and O(c^2 width) for each level of c classes above the finest
        (see ``class_units``). Prediction O(b q width) besides the encoder.

    Reference: Jiang, Liu, Liu and Yu, "Hierarchy-consistent learning and adaptive loss balancing for hierarchical multi-label
        classification", CIKM 2025.

    Differs: the published code is for one class a level; several, none, trees of uneven depth and graphs are our extension. A level of one
        class is asked yes or no, as with ``"bce"``. The abstract speaks of rates of convergence, the code weighs by the current losses; so
        does the default, and ``"rate"`` is our reading of the abstract. The published encoder, a ResNet-18 pretrained on ImageNet, is
        ``encoder="resnet18"``. The best epoch is chosen on validation rows, in the code on test rows. Preset ``aircraft``: 1000 epochs,
        prototypes undisturbed, as in the authors' script for three levels.

    Example:
        >>> model = HCAL(4, 3, hierarchy=[("animal", "cat"), ("animal", "dog")]).eval()
        >>> model(torch.zeros(2, 4)).shape
        torch.Size([2, 3])
    """

    DEFAULTS: ClassVar[Mapping[str, Any]] = {
        "lr": 0.01,
        "weight_decay": 1e-4,
        "batch_size": 32,
        "epochs": 500,
        "optimizer": torch.optim.SGD,
        "optimizer_params": {"momentum": 0.9},
    }
    PRESETS: ClassVar[Mapping[str, Preset]] = {"aircraft": Preset({"noise": 0.0}, {"epochs": 1000})}
    INPUTS: ClassVar[tuple[str, ...]] = ("table", "images", "tokens")
    BATCH_TERMS: ClassVar[bool] = True
    NEEDS_HIERARCHY: ClassVar[bool] = True

    order: Tensor
    place: Tensor
    edges: Tensor
    cuts: Tensor

    def __init__(
        self,
        d: int,
        q: int,
        *,
        hierarchy: Any,
        shape: tuple[int, ...] | None = None,
        vocabulary: int = 0,
        per_level: PerLevel | Sequence[PerLevel] = "several",
        rows: int = 0,
        encoder: Any = None,
        encoder_params: Mapping[str, Any] | None = None,
        width: int = 256,
        noise: float = 0.01,
        temperature: float = 0.1,
        aggregate: Aggregate = "instance_mean",
        loss: Literal["softmax", "bce"] | BCE = "softmax",
        weighting: Weighting = "loss_softmax",
        gamma: float = 0.5,
        level_weights: Sequence[float] | None = None,
        decode: Decode | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        if width < 1 or not noise >= 0 or not temperature > 0:
            raise ParameterError(f"expected width >= 1, noise >= 0 and temperature > 0, but got {width=}, {noise=}, {temperature=}")
        if aggregate not in ("instance_mean", "class_mean", "none") or decode not in (None, "independent", "top_down", "bottom_up"):
            raise ParameterError(
                "expected aggregate 'instance_mean', 'class_mean' or 'none' and decode 'independent', 'top_down', 'bottom_up' or None, but "
                f"got {aggregate=}, {decode=}"
            )
        self.aggregate, self.sigmoid, self.decode = aggregate, _by_sigmoid(loss), decode
        sizes = self._lay_out(Hierarchy.of(hierarchy, q=q))
        self.per_level = (per_level,) * len(sizes) if isinstance(per_level, str) else tuple(per_level)
        if len(self.per_level) != len(sizes) or not set(self.per_level) <= {"one", "at_most_one", "several"}:
            raise ParameterError(f"expected per_level 'one', 'at_most_one' or 'several', or {len(sizes)} of these, but got {per_level!r}")
        if weighting == "rate" and rows < 1:
            raise ParameterError(
                f"expected rows, the number of training rows, for weighting='rate', but got {rows=}; from_data fills it in"
            )
        self.encoder = RowEncoder(encoder, encoder_params or {}, (d,) if shape is None else tuple(shape), vocabulary, augment)
        self.projection = nn.Linear(self.encoder.width, width)
        tasks = [LevelTask(size, width, temperature=temperature, noise=noise, sigmoid=self.sigmoid) for size in sizes]
        self.tasks = nn.ModuleList(tasks)
        self.weights = LevelWeights(len(sizes), weighting, gamma=gamma, fixed=level_weights, rows=rows)
        self.register_buffer("cuts", torch.zeros(len(sizes)))

    def _lay_out(self, hierarchy: Hierarchy) -> list[int]:
        """Number the labels level by level, top first, as the tasks do; return how many there are in each level."""
        order = np.concatenate(hierarchy.by_level)
        place = np.argsort(order)
        edges = place[hierarchy.edges.T]
        edges = edges[:, np.argsort(edges[0], kind="stable")]
        sizes = [len(labels) for labels in hierarchy.by_level]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        self.columns = [slice(int(a), int(b)) for a, b in pairwise(ends)]
        bounds = np.searchsorted(edges[0], ends)
        self.edge_columns = [slice(int(a), int(b)) for a, b in pairwise(bounds)]
        for name, values in (("order", order), ("place", place), ("edges", edges)):
            self.register_buffer(name, torch.from_numpy(np.array(values, dtype=np.int64)), persistent=False)
        return sizes

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return the hierarchy, what a row looks like, how many classes of each level a row has, and how many rows there are."""
        return {
            **super().context(train),
            "shape": train.shape,
            "vocabulary": train.vocabulary,
            "per_level": classes_per_level(train.dataset.Y, train.hierarchy.levels),
            "rows": train.n,
        }

    @classmethod
    def reads(cls, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the encoder reads."""
        model = _registered(params)
        return cls.INPUTS if model is None else model.reads(params.get("encoder_params") or {})

    @classmethod
    def tokenizer(cls, params: Mapping[str, Any]) -> Any:
        """Return the tokenizer of the encoder, if it is one that brings its own."""
        model = _registered(params)
        return None if model is None else model.tokenizer(params.get("encoder_params") or {})

    def features(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b width"]:
        """Return the feature of each row, of length 1."""
        found = self.projection(self.encoder(x))
        with torch.autocast(x.device.type, enabled=False):
            return functional.normalize(found.to(self.projection.weight.dtype), dim=1)

    def forward(self, x: Float[Tensor, "b ..."]) -> Float[Tensor, "b q"]:
        """Return logits whose sigmoid is the probability of each class by the softmax of its level (or by its own sigmoid)."""
        return self._logits(self.features(x))

    def objective(self, batch: Batch) -> Objective:
        """Return the weighted loss of all levels; parts are the loss and the weight of each level, numbered from the top."""
        features = self.features(batch.x)
        with torch.autocast(batch.x.device.type, enabled=False):
            found = [task.loss(units) for task, units in zip(self._tasks(), self._units(features, batch))]
            losses, present = (torch.stack(list(values)) for values in zip(*found))
            loss, weights = self.weights(losses, present, len(batch.y))
        parts = {f"loss_level_{k}": value for k, value in enumerate(losses.detach(), start=1)}
        parts |= {f"weight_level_{k}": value for k, value in enumerate(weights, start=1)}
        return Objective(loss, self._logits(features), parts)

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the encoder at ``lr`` and the prototypes of each level at 5 times that (finest), 10 times (next) or 20 times (above)."""
        prototypes = [task.prototypes for task in self._tasks()]
        single = [p for task in self._tasks() for p in (task.scale, task.bias) if p is not None]
        single += [] if self.weights.theta is None else [self.weights.theta]
        apart = {id(p) for p in (*prototypes, *single)}
        groups: list[dict[str, Any]] = [{"params": [p for p in self.parameters() if id(p) not in apart], "lr": lr}]
        for above, prototype in enumerate(reversed(prototypes)):
            groups.append({"params": [prototype], "lr": lr * _SPEED[min(above, 2)]})
        return [*groups, {"params": single, "lr": lr, "weight_decay": 0.0}] if single else groups

    @torch.no_grad()
    def fit_threshold(self, table: Table, *, batch_size: int = 1024) -> None:
        """Choose for each level that needs one (``per_level``) the threshold with the highest micro-averaged F1 of that level.

        The thresholds belong to ``state_dict``; before they are chosen they are probabilities of one half.

        Args:
            table: Training (or validation) rows; unknown labels take no part.
            batch_size: Rows at a time.

        Cost: one pass over the rows, then a sort of the n c scores of a level of c classes.
        """
        blocks = list(table.blocks(batch_size))
        if not blocks:
            return
        scores = torch.cat([self._ordered_scores(block.x).cpu() for block in blocks])
        y = torch.cat([block.y.cpu() for block in blocks])[:, self.order.cpu()]
        for k, columns in enumerate(self.columns):
            shown, truth = scores[:, columns], y[:, columns]
            if self.per_level[k] == "at_most_one":  # no other class than the best one is ever picked
                shown = shown.where(_best(shown), shown.min() - 1)
            if self.per_level[k] != "one" and bool((truth == 1).any()):
                cut = GlobalF1(grid=None).fit(shown.double().numpy(), truth.numpy()).values[0]
                narrow = np.float32(cut)  # never rounded up: the score next to the cut stays above it
                self.cuts[k] = float(narrow if narrow <= cut else np.nextafter(narrow, np.float32(-np.inf)))

    @torch.no_grad()
    def decide(self, x: Float[Tensor, "b ..."], *, decode: Decode | None = None) -> Float[Tensor, "b q"]:
        """Return the predicted labels, 0 or 1.

        Args:
            x: Rows.
            decode: As for the class; ``None`` is what the model was built with.
        """
        scores = self._ordered_scores(x)
        how = decode or self.decode or ("independent" if set(self.per_level) == {"one"} else "bottom_up")
        kept = torch.zeros_like(scores, dtype=torch.bool)
        levels = list(range(len(self.columns)))
        for k in reversed(levels) if how == "bottom_up" else levels:
            columns, (child, parent) = self.columns[k], self.edges[:, self.edge_columns[k]]
            if how == "bottom_up":
                implied = kept[:, columns]
                free = torch.ones_like(implied) if self.per_level[k] == "several" else ~implied.any(dim=1, keepdim=True)
                kept[:, columns] = implied | (self._picked(k, scores[:, columns]) & free)
                kept = torch.zeros_like(scores).index_add(1, parent, kept[:, child].to(scores)).bool() | kept
            elif how == "top_down":
                missing = torch.zeros_like(scores).index_add(1, child, (~kept[:, parent]).to(scores))[:, columns] > 0
                kept[:, columns] = self._picked(k, scores[:, columns].masked_fill(missing, -torch.inf))
            else:
                kept[:, columns] = self._picked(k, scores[:, columns])
        return kept[:, self.place].to(scores.dtype)

    def _picked(self, k: int, scores: Float[Tensor, "b classes"]) -> Bool[Tensor, "b classes"]:
        """Return what a level picks by itself; a score of minus infinity is never picked."""
        if self.per_level[k] == "several":
            return scores > self.cuts[k]
        return _best(scores) & (scores > (-torch.inf if self.per_level[k] == "one" else self.cuts[k]))

    def _ordered_scores(self, x: Tensor) -> Float[Tensor, "b q"]:
        """Return the logits as in prediction, in the order of the levels."""
        with _evaluating(self):
            x = x.to(self.projection.weight.dtype) if x.is_floating_point() else x
            return self(x)[:, self.order]  # type: ignore[no-any-return]

    def _logits(self, features: Tensor) -> Float[Tensor, "b q"]:
        with torch.autocast(features.device.type, enabled=False):
            return torch.cat([task.log_odds(features) for task in self._tasks()], dim=1)[:, self.place]

    def _units(self, features: Tensor, batch: Batch) -> Iterator[Units]:
        """Yield what each level is trained on: instances in the finest one, and in those above one unit for each class."""
        y = batch.y[:, self.order]
        weight = batch.weight
        weight = weight if weight is None else weight[:, None].expand_as(y) if weight.ndim == 1 else weight[:, self.order]
        means = None
        if self.aggregate == "class_mean":
            means = class_means(features, y, weight, [self.edges[:, part] for part in self.edge_columns])
        for k, (columns, task) in enumerate(zip(self.columns, self._tasks())):
            labels, counts = y[:, columns], None if weight is None else weight[:, columns]
            if self.aggregate == "none" or k == len(self.columns) - 1:
                yield Units(features, labels, counts)
            else:
                yield class_units(features, labels, counts, sigmoid=task.sigmoid, means=None if means is None else means[columns])

    def _tasks(self) -> list[LevelTask]:
        return [cast(LevelTask, task) for task in self.tasks]


def _registered(params: Mapping[str, Any]) -> type[MultiLabelModel] | None:
    """Return the registered model that is the encoder, if one is named."""
    encoder = params.get("encoder")
    return get("model", encoder) if isinstance(encoder, str) and encoder in names("model") else None


def classes_per_level(Y: Any, levels: Array) -> list[PerLevel]:
    """Return, from the top level down, whether each row has one class of the level, at most one, or whether some have several.

    Args:
        Y: Labels (n, q), dense or sparse; of a row that has unknown labels (NaN) in a level, none is taken to be missing there.
        levels: Level of each label, from 1.

    Example:
        >>> classes_per_level(np.array([[1, 0, 0, 1], [0, 1, 0, 0]]), np.array([1, 1, 2, 2]))
        ['one', 'at_most_one']
    """
    place = sparse.csr_array((np.ones(len(levels)), (np.arange(len(levels)), levels - 1)))
    dense = not sparse.issparse(Y)
    counts = np.asarray((sparse.csr_array(Y == 1 if dense else Y).astype(np.float64) @ place).todense())
    unknown = np.asarray((sparse.csr_array(Y != Y).astype(np.float64) @ place).todense()) if dense else np.zeros_like(counts)
    found: list[PerLevel] = []
    for count, doubt in zip(counts.T, unknown.T):
        empty = bool(((count == 0) & (doubt == 0)).any())
        found.append("several" if not len(count) or count.max() > 1 else "at_most_one" if empty else "one")
    return found


def _best(scores: Float[Tensor, "b classes"]) -> Bool[Tensor, "b classes"]:
    """Mark the highest score of each row."""
    return torch.zeros_like(scores, dtype=torch.bool).scatter(1, scores.argmax(dim=1, keepdim=True), True)


def _by_sigmoid(loss: Any) -> bool:
    """Read the form of the loss; a plain ``BCE`` may be given as such, since a level has fewer columns than its weights would have."""
    if isinstance(loss, BCE) and loss.pos_weight is None and not loss.label_smoothing:
        return True
    if isinstance(loss, str) and loss in ("softmax", "bce"):
        return loss == "bce"
    raise ParameterError(f"expected loss 'softmax' or 'bce' (or a plain BCE()), since HCAL's objective is its own, but got {loss!r}")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
