"""VALEN: label distributions as Dirichlet posteriors, from features, candidate labels and a graph of similar rows."""

import copy
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.distributions import Dirichlet
from torch.nn import functional

from polytag.enhance.base import Enhancer, checked
from polytag.enhance.descent import BLOCK, ScaledRows, column_moments, descend
from polytag.enhance.dirichlet import bounded, compatibility, cross_entropy, dirichlet_divergence, masked_concentration, restricted
from polytag.enhance.neighbour_graph import GraphEncoder, NeighbourGraph
from polytag.errors import ParameterError
from polytag.nn.optimizers import build_optimizer
from polytag.nn.seeding import seeded
from polytag.registry import register
from polytag.types import Array, ArrayLike

OPTIMIZERS = {"paper": "adam", "authors": "sgd"}  # of each form


@register("enhancer", "valen")
class VALEN(Enhancer):
    """Recovers label distributions as the means of Dirichlet posteriors: relevant labels share a row, similar rows share it alike.

    A small classifier is warmed up on the relevant labels, and its hidden layer says which rows are neighbours. In the form of the paper a
    graph convolution over ``[hidden features, labels]`` gives each row's concentrations ``alpha``; one sample ``d ~ Dir(alpha)`` must tell
    the labels (through three layers) and the graph (through ``sigmoid(d d')``), and the mean must spread over the relevant labels:

        ``BCE(labels) + (graph - sigmoid(d d'))^2 + kl_weight KL(Dir(alpha) || Dir(prior)) + compatibility L_o``,
        ``L_o = -mean_i sum_j l_ij / |S_i| log mean_ij``, S_i the relevant labels of row i

    A row without labels restricts nothing: it has no part in ``L_o`` and in the warm-up, and its distribution follows from its features,
    its neighbours and the prior.

    Args:
        form: ``"paper"``, or ``"authors"``, what their code does: the encoder is a copy of the classifier and reads x, its softmax within
            the relevant labels + 0.01 is the concentration, a sample must tell the features, and classifier and encoder teach each other.
        hidden: Width of the hidden layers.
        neighbours: Neighbours of a row in the graph, besides itself; at most n - 1.
        warm_up: Epochs of the classifier alone.
        epochs: Epochs after that.
        batch_size: Rows a step.
        lr: Learning rate.
        weight_decay: Weight of the squared weights, added to the gradient.
        optimizer: ``"adam"`` or ``"sgd"`` (momentum 0.9); ``None``: that of the form.
        kl_weight: Weight of the divergence from the prior; 1 is the lower bound of the paper as written.
        compatibility: Weight of ``L_o``.
        candidate_weight: Weight of what the classifier teaches the encoder (authors' form).
        correct: Share of the sample in what the encoder teaches the classifier (authors' form).
        prior: Concentration of the prior, the same for every label.
        device: Where the networks train.
        beta: Share of the label-distribution loss, see ``Enhancer``.

    Raises:
        ParameterError: A setting makes no sense.

    Cost: the graph O(n^2 hidden); a step O(b k hidden (hidden + q) + b^2 q) in the paper's form with k neighbours, O(b hidden (d + q) + b^2
        q) in the authors'; memory of the networks, of the graph, O(n k), and of O(n (hidden + q)) numbers besides the data.

    Reference: Xu, Qiao, Geng and Zhang, "Instance-dependent partial label learning", NeurIPS 2021.

    Differs: the method is made for rows with one true label among candidates; here the relevant labels are the candidates, as nobody has
        published how it was done for several true labels. Features are standardised, sums over labels and means over rows and over
        pairs of rows weigh the terms alike for every batch size, and the recovered distributions are what any model then learns, so that
        the classifier of the paper's form is not trained any further.

    Example:
        >>> X, Y = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]), np.array([[1, 0], [0, 1], [1, 1]])
        >>> found = VALEN(hidden=8, neighbours=1, epochs=30).fit_transform(X, Y)
        >>> found.sum(axis=1).round(6), found.argmax(axis=1)[:2]
        (array([1., 1., 1.]), array([0, 1]))
    """

    def __init__(
        self,
        *,
        form: str = "paper",
        hidden: int = 64,
        neighbours: int = 3,
        warm_up: int = 10,
        epochs: int = 500,
        batch_size: int = 256,
        lr: float = 1e-2,
        weight_decay: float = 1e-4,
        optimizer: str | None = None,
        kl_weight: float = 0.1,
        compatibility: float = 1.0,
        candidate_weight: float = 5.0,
        correct: float = 0.8,
        prior: float = 1.0,
        device: str = "cpu",
        beta: float = 0.01,
    ) -> None:
        super().__init__(beta=beta)
        if form not in OPTIMIZERS:
            raise ParameterError(f"expected a form among {', '.join(OPTIMIZERS)}, but got {form!r}")
        self.form = form
        self.hidden, self.neighbours, self.warm_up, self.epochs = hidden, neighbours, warm_up, epochs
        self.batch_size, self.lr, self.weight_decay = batch_size, lr, weight_decay
        self.optimizer = OPTIMIZERS[form] if optimizer is None else optimizer
        self.kl_weight, self.compatibility, self.candidate_weight, self.correct = kl_weight, compatibility, candidate_weight, correct
        self.prior, self.device = prior, device
        self._check()

    def fit_transform(self, X: ArrayLike, Y: ArrayLike, *, seed: int = 0) -> Float[Array, "n q"]:
        """Return the label distribution of each row, shape (n, q)."""
        features, labels = checked(X, Y)
        n, q = labels.shape
        if q == 1:  # all of a row's description falls to its only label
            return np.ones((n, 1))
        rows = ScaledRows(features, *column_moments(features), self.device)
        relevant = torch.as_tensor(labels, dtype=torch.float32, device=self.device)
        with seeded(seed, self.device):
            classifier = Classifier(rows.d, self.hidden, q).to(self.device)
            self._warm_up(classifier, rows, relevant)
            known = _blockwise(n, lambda block: classifier.features(rows[block]))
            graph = NeighbourGraph(known.cpu().numpy(), self.neighbours, self.device)
            if self.form == "paper":
                alpha = self._by_graph(torch.cat([known, relevant], dim=1), relevant, graph)
            else:
                alpha = self._by_teaching(classifier, rows, relevant, graph)
        alpha = alpha.double()
        return (alpha / alpha.sum(dim=1, keepdim=True)).cpu().numpy()

    def _warm_up(self, classifier: "Classifier", rows: ScaledRows, relevant: Tensor) -> None:
        """Train the classifier on the relevant labels, each weighed by what it believes of them now."""

        def loss(batch: Tensor) -> Tensor:
            scores = classifier(rows[batch]).softmax(dim=1)
            return cross_entropy(scores, restricted(scores.detach(), relevant[batch.to(relevant.device)]))

        self._descend(loss, [classifier], rows.n, self.warm_up)

    def _by_graph(self, described: Float[Tensor, "n p"], relevant: Float[Tensor, "n q"], graph: "NeighbourGraph") -> Float[Tensor, "n q"]:
        """Return the posterior concentrations in the form of the paper."""
        n, q = relevant.shape
        encoder = GraphEncoder(graph, described, self.hidden, q).to(self.device)
        decoder = _decoder(q, self.hidden, q).to(self.device)

        def loss(batch: Tensor) -> Tensor:
            alpha = bounded(encoder(batch))
            sample = Dirichlet(alpha, validate_args=False).rsample()
            near = graph.block(batch)
            labels = relevant[batch.to(relevant.device)]
            return self.paper_terms(alpha, sample, decoder(sample), near | near.T, labels)["total"]

        self._descend(loss, [encoder, decoder], n, self.epochs)
        return _blockwise(n, lambda block: bounded(encoder(block)))

    def _by_teaching(
        self, classifier: "Classifier", rows: ScaledRows, relevant: Float[Tensor, "n q"], graph: "NeighbourGraph"
    ) -> Float[Tensor, "n q"]:
        """Return the posterior concentrations in the form of the authors' code; the classifier goes on training."""
        encoder = copy.deepcopy(classifier)
        decoder = _decoder(relevant.shape[1], self.hidden, rows.d).to(self.device)
        by_classifier = _blockwise(
            rows.n, lambda block: restricted(classifier(rows[block]).softmax(dim=1), relevant[block.to(self.device)])
        )
        by_encoder = by_classifier.clone()

        def loss(batch: Tensor) -> Tensor:
            x, at = rows[batch], batch.to(relevant.device)
            labels, logits, output = relevant[at], classifier(x), encoder(x)
            sample = Dirichlet(masked_concentration(output, labels), validate_args=False).rsample()
            near = graph.block(batch) / (graph.k + 1)
            terms = self.authors_terms(
                logits, output, sample, decoder(sample), x=x, near=near, labels=labels, taught=(by_classifier[at], by_encoder[at])
            )
            by_encoder[at], by_classifier[at] = self.taught(sample, logits, labels, by_classifier[at])
            return terms["total"]

        self._descend(loss, [classifier, encoder, decoder], rows.n, self.epochs)
        return _blockwise(rows.n, lambda block: masked_concentration(encoder(rows[block]), relevant[block.to(self.device)]))

    def paper_terms(
        self,
        alpha: Float[Tensor, "b q"],
        sample: Float[Tensor, "b q"],
        decoded: Float[Tensor, "b q"],
        near: Bool[Tensor, "b b"],
        labels: Float[Tensor, "b q"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the parts of the paper's loss and their weighted sum ``"total"``.

        Args:
            alpha: Concentrations of the posterior.
            sample: Drawn from it.
            decoded: Logits of the labels, told from the sample.
            near: Which rows of the batch are neighbours.
            labels: The relevant labels.
        """
        parts = {
            "labels": functional.binary_cross_entropy_with_logits(decoded, labels, reduction="none").sum(dim=1).mean(),
            "graph": functional.mse_loss((sample @ sample.T).sigmoid(), near.to(sample)),
            "divergence": dirichlet_divergence(alpha, self.prior).mean(),
            "compatibility": compatibility(alpha / alpha.sum(dim=1, keepdim=True), labels).mean(),
        }
        weighted = self.kl_weight * parts["divergence"] + self.compatibility * parts["compatibility"]
        return parts | {"total": parts["labels"] + parts["graph"] + weighted}

    def authors_terms(
        self,
        logits: Float[Tensor, "b q"],
        output: Float[Tensor, "b q"],
        sample: Float[Tensor, "b q"],
        decoded: Float[Tensor, "b d"],
        *,
        x: Float[Tensor, "b d"],
        near: Float[Tensor, "b b"],
        labels: Float[Tensor, "b q"],
        taught: tuple[Float[Tensor, "b q"], Float[Tensor, "b q"]],
    ) -> dict[str, Float[Tensor, ""]]:
        """Return the parts of the loss of the authors' code and their weighted sum ``"total"``.

        Args:
            logits: Of the classifier.
            output: Of the encoder.
            sample: Drawn from the Dirichlet distribution of ``masked_concentration(output, labels)``.
            decoded: Features, told from the sample.
            x: Features.
            near: Graph of the batch, rows of the whole graph sum to 1.
            labels: The relevant labels.
            taught: Weights of the relevant labels from the classifier, for the encoder, and the other way round.
        """
        by_classifier, by_encoder = taught
        parts = {
            "features": functional.mse_loss(decoded, x),
            "labels": 0.01 * functional.binary_cross_entropy_with_logits(sample, labels),
            "graph": functional.mse_loss((sample @ sample.T).sigmoid().softmax(dim=1), near),
            "divergence": dirichlet_divergence(bounded(output), self.prior).mean(),
            "candidates": cross_entropy(output.softmax(dim=1), by_classifier),
            "compatibility": cross_entropy(logits.softmax(dim=1), by_encoder),
        }
        told = parts["features"] + parts["labels"] + parts["graph"]
        weighted = self.candidate_weight * parts["candidates"] + self.compatibility * parts["compatibility"]
        return parts | {"total": told + self.kl_weight * parts["divergence"] + weighted}

    def taught(self, sample: Tensor, logits: Tensor, labels: Tensor, by_classifier: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new weights of the relevant labels from the encoder and from the classifier, given the classifier's old ones."""
        own = restricted(sample.detach(), labels)
        return self.correct * own + (1 - self.correct) * by_classifier, restricted(logits.detach().softmax(dim=1), labels)

    def _descend(self, loss: Callable[[Tensor], Tensor], modules: list[nn.Module], n: int, epochs: int) -> None:
        parameters = [p for module in modules for p in module.parameters()]
        if self.optimizer == "adam":
            optimizer = build_optimizer(torch.optim.Adam, parameters, lr=self.lr, weight_decay=self.weight_decay)
        else:
            optimizer = torch.optim.SGD(parameters, lr=self.lr, momentum=0.9, weight_decay=self.weight_decay, fused=True)
        descend(loss, optimizer, n, epochs=epochs, batch_size=self.batch_size)

    def _check(self) -> None:
        if min(self.hidden, self.epochs, self.batch_size) < 1 or min(self.neighbours, self.warm_up) < 0:
            raise ParameterError(
                "expected hidden, epochs, batch_size >= 1 and neighbours, warm_up >= 0, but got "
                f"hidden={self.hidden!r}, epochs={self.epochs!r}, batch_size={self.batch_size!r}, neighbours={self.neighbours!r}, "
                f"warm_up={self.warm_up!r}"
            )
        weights = (self.kl_weight, self.compatibility, self.candidate_weight, self.weight_decay)
        if min(weights) < 0 or not self.lr > 0 or not self.prior > 0:
            raise ParameterError(
                "expected lr, prior > 0 and kl_weight, compatibility, candidate_weight, weight_decay >= 0, but got "
                f"lr={self.lr!r}, prior={self.prior!r}, kl_weight={self.kl_weight!r}, compatibility={self.compatibility!r}, "
                f"candidate_weight={self.candidate_weight!r}, weight_decay={self.weight_decay!r}"
            )
        if not 0 <= self.correct <= 1 or self.optimizer not in ("adam", "sgd"):
            raise ParameterError(
                f"expected 0 <= correct <= 1 and an optimizer adam or sgd, but got correct={self.correct!r}, optimizer={self.optimizer!r}"
            )


class Classifier(nn.Module):
    """One hidden layer: its features say which rows are alike, its outputs which label a row has.

    Args:
        d: Number of features.
        hidden: Width of the hidden layer.
        q: Number of labels.
    """

    def __init__(self, d: int, hidden: int, q: int) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(d, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, q)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b q"]:
        """Return one output a label."""
        return self.out(self.features(x))  # type: ignore[no-any-return]


def _decoder(q: int, hidden: int, out: int) -> nn.Sequential:
    """Return three layers that tell labels or features from a label distribution."""
    return nn.Sequential(nn.Linear(q, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out))


def _blockwise(n: int, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Return what a function of row numbers says of all rows, without gradient."""
    with torch.no_grad():
        return torch.cat([compute(block) for block in torch.split(torch.arange(n), BLOCK)])
