"""How hard each row is for a model that has not seen it: two small networks, each trained on one half, each judging the other half."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from polytag.data.labels import LabelIndex
from polytag.errors import DataError, ParameterError
from polytag.selectors.targets import Targets
from polytag.types import Array, ArrayLike

_BLOCK = 4096
_INNER = 0.1

Rows = Callable[[Int[Array, "b"]], Float[Tensor, "b d"]]
Layers = list[Tensor]


def cross_fitted_losses(
    x: ArrayLike,
    labels: ArrayLike | LabelIndex | Targets,
    *,
    seed: int = 0,
    hidden: int = 128,
    epochs: int = 100,
    patience: int = 5,
    rate: float = 3e-3,
    batch_size: int = 128,
) -> Float[Array, "n"]:
    """Return the mean binary cross-entropy of each row under a network that was trained on other rows, shape (n,), float64.

    The rows are halved at random. On each half a network with one hidden layer is trained by Adam; a tenth of the half is kept aside to
    stop when its loss has not fallen for ``patience`` epochs, and the best state so far is taken. It then scores the other half. No row
    has any part in the network that scores it.

    Args:
        x: Features (n, d), scaled as a model sees them: NumPy, SciPy sparse, or a dense torch tensor.
        labels: Labels (n, q) in any form, NaN = unknown; or their index.
        seed: Decides halves, start values and batches; the global random state is neither read nor changed.
        hidden: Units of the hidden layer.
        epochs: At most so many passes.
        patience: See above.
        rate: Learning rate.
        batch_size: Rows a training step.

    Raises:
        ParameterError: x is no table of numbers.
        DataError: x and the labels have different numbers of rows, or a feature is NaN or infinite.

    Cost: at most ``epochs`` passes over n rows with a network of ``hidden (d + q)`` weights, on the CPU; memory of one batch. A sparse x
        stays sparse.

    Example:
        >>> import numpy as np
        >>> x = np.repeat(np.eye(2), 50, axis=0)
        >>> y = x.copy()
        >>> y[0] = [0, 1]  # a label that the other rows like it do not have
        >>> int(cross_fitted_losses(x, y).argmax())
        0
    """
    targets = labels if isinstance(labels, Targets) else Targets(labels)
    n = targets.index.n
    take, width = table_rows(x, n)
    losses = np.zeros(n)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n, generator=generator).numpy()
    halves = order[: n // 2], order[n // 2 :]
    for trained, scored in (halves, halves[::-1]):
        if len(trained) == 0 or len(scored) == 0:
            continue  # a single row: nobody else can judge it
        layers = _start(width, hidden, targets.index.q, generator)
        layers = _fit(layers, take, targets, trained, generator, epochs, patience, rate, batch_size)
        losses[scored] = _losses(layers, take, targets, scored)
    if not np.isfinite(losses).all():
        at = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise DataError(
            f"the reference loss of instance {at} is {losses[at]}: x holds NaN or far too large numbers; prepare the features first"
        )
    return losses


def table_rows(x: ArrayLike, n: int) -> tuple[Rows, int]:
    """Return a function that gives some rows of a table as float32, and the number of columns.

    Raises:
        ParameterError: x is no table of numbers.
        DataError: It has not n rows.
    """
    shape = tuple(getattr(x, "shape", ()))
    kind = str(getattr(x, "dtype", None))
    numbers = any(name in kind for name in ("float", "int", "bool"))
    if len(shape) != 2 or not numbers or (isinstance(x, Tensor) and x.layout != torch.strided):
        raise ParameterError(
            f"the reference model needs features of shape (n, d) as numbers, but got {type(x).__name__} of shape {shape} and type {kind}; "
            "pass irreducible=, the losses (n,) of a model of your own on rows it has not seen"
        )
    if shape[0] != n:
        raise DataError(f"expected as many rows in x as labels, but got {shape[0]} and {n}")
    if isinstance(x, Tensor):
        return lambda rows: x[torch.from_numpy(rows).to(x.device)].detach().to("cpu", torch.float32), shape[1]
    if hasattr(x, "tocsr"):
        csr = x.tocsr()
        return lambda rows: torch.from_numpy(csr[rows].toarray().astype(np.float32)), shape[1]
    return lambda rows: torch.from_numpy(np.asarray(x[rows], dtype=np.float32)), shape[1]


def _start(width: int, hidden: int, q: int, generator: torch.Generator) -> Layers:
    """Return weights and biases of two layers: He's scale for the first, a smaller one for the second."""
    first = torch.randn(width, hidden, generator=generator, device="cpu", dtype=torch.float32) * (2 / max(width, 1)) ** 0.5
    second = torch.randn(hidden, q, generator=generator, device="cpu", dtype=torch.float32) * hidden**-0.5
    return [first, torch.zeros_like(first[:1]).expand(1, hidden).clone(), second, second.new_zeros(1, q)]


def _logits(layers: Layers, x: Tensor) -> Tensor:
    first, first_bias, second, second_bias = layers
    return F.relu(x @ first + first_bias) @ second + second_bias


def _fit(
    layers: Layers,
    take: Rows,
    targets: Targets,
    rows: Array,
    generator: torch.Generator,
    epochs: int,
    patience: int,
    rate: float,
    batch_size: int,
) -> Layers:
    """Train on some rows; return the state that is best on a tenth of them, which are not trained on (too few rows: the last state)."""
    aside = round(_INNER * len(rows))
    inner, rows = rows[:aside], rows[aside:]
    best, lowest, since = layers, np.inf, 0
    with torch.inference_mode(False), torch.enable_grad():
        layers = [layer.clone().requires_grad_() for layer in layers]
        optimizer = torch.optim.Adam(layers, lr=rate)
        for _ in range(epochs):
            shuffled = rows[torch.randperm(len(rows), generator=generator).numpy()]
            for start in range(0, len(rows), batch_size):
                batch = shuffled[start : start + batch_size]
                optimizer.zero_grad()
                _objective(_logits(layers, take(batch)), targets, batch).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            loss = float(_losses(layers, take, targets, inner).mean()) if aside else -np.inf
            since += 1
            if not aside or loss < lowest:
                best, lowest, since = [layer.detach().clone() for layer in layers], loss, 0
            if since >= patience:
                break
    return best


def _objective(logits: Tensor, targets: Targets, rows: Array) -> Tensor:
    """Return the mean binary cross-entropy over the known cells of a batch."""
    like = logits.detach()
    known = targets.known(rows, like)
    terms = F.binary_cross_entropy_with_logits(logits, targets.filled(rows, like), reduction="none")
    return (terms * known).sum() / known.sum().clamp(min=1)


def _losses(layers: Layers, take: Rows, targets: Targets, rows: Array) -> Array:
    """Return the mean binary cross-entropy of some rows."""
    blocks = np.array_split(rows, max(1, -(-len(rows) // _BLOCK)))
    with torch.no_grad():
        return np.concatenate([targets.losses(block, _logits(layers, take(block))) for block in blocks])
