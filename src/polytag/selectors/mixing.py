"""Mixing batches: each row of one batch becomes a blend of itself and a row of another, labels included."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polytag.errors import DataError, ParameterError
from polytag.selectors.base import BatchSelector
from polytag.types import Batch


def paired(first: BatchSelector, second: BatchSelector) -> Iterator[tuple[Int[Tensor, "k"], Int[Tensor, "k"]]]:
    """Walk through one epoch of two selectors at once; the batches of the second are cut to the length of the first's.

    With the same seed, plain passes of both are the same; as long as both warm up, each row is therefore paired with itself.

    Args:
        first: Gives the rows.
        second: Gives their partners.

    Raises:
        ParameterError: They are not for the same number of rows and batches, or one of them looks at candidates first.

    Example:
        The scheme of BalanceMix, in a loop of your own:

        >>> from polytag.selectors.balancemix import BalanceMix
        >>> from polytag.selectors.random import Random
        >>> x, y = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.eye(4).repeat(5, 1)
        >>> model = torch.nn.Linear(3, 4)
        >>> optimizer, generator = torch.optim.SGD(model.parameters(), lr=0.1), torch.Generator().manual_seed(0)
        >>> random, minority = Random(y, batch_size=8), BalanceMix(y, batch_size=8)
        >>> for rows, partners in paired(random, minority):
        ...     mixed = mix(Batch(rows, x[rows], y[rows]), Batch(partners, x[partners], y[partners]), generator)
        ...     logits = model(mixed.x)
        ...     torch.nn.functional.binary_cross_entropy_with_logits(logits, mixed.y).backward()
        ...     optimizer.step()
        ...     optimizer.zero_grad()
        ...     minority.update(mixed.rows, logits.detach())
    """
    if first.n != second.n or len(first) != len(second):
        raise ParameterError(
            f"expected two selectors of as many rows and batches, but got {first.n} and {second.n} rows, "
            f"{len(first)} and {len(second)} batches"
        )
    for rows, partners in zip(first, second, strict=True):
        if first.screening or second.screening:
            raise ParameterError("expected selectors that draw at once, but got one that chooses among candidates")
        yield rows, partners[: len(rows)]


def mix(batch: Batch, partner: Batch, generator: torch.Generator, *, alpha: float = 4.0) -> Batch:
    """Blend each row with its partner: ``a x + (1 - a) x'`` and ``a y + (1 - a) y'``, with a at least 1/2.

    ``a = max(l, 1 - l)`` with ``l`` from Beta(alpha, alpha), drawn for each row. The labels become shares; one that is unknown (NaN) in
    either row is unknown in the blend. Loss weights are blended like labels, where there are any.

    Args:
        batch: The rows that make at least half of each blend; their row numbers stand for it.
        partner: As many other rows.
        generator: Source of chance.
        alpha: Positive; the larger, the closer to half and half.

    Raises:
        DataError: The batches differ in shape, or the features are not floating-point numbers.
        ParameterError: ``alpha`` is not positive.

    Cost: O(b d + b q); one number is copied from the device of the generator.

    Reference: Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018; with a >= 1/2: Song, Kim, Lee,
        arXiv 2312.07087.

    Example:
        >>> one = Batch(torch.tensor([3]), torch.zeros(1, 2), torch.tensor([[1.0, 0.0, 1.0]]))
        >>> two = Batch(torch.tensor([5]), torch.ones(1, 2), torch.tensor([[0.0, 0.0, 1.0]]))
        >>> mixed = mix(one, two, torch.Generator().manual_seed(0))
        >>> mixed.rows, bool(0.5 <= mixed.y[0, 0] <= 1), mixed.y[0, 1:]
        (tensor([3]), True, tensor([0., 1.]))
    """
    if not alpha > 0:
        raise ParameterError(f"expected alpha > 0, but got {alpha}")
    if batch.x.shape != partner.x.shape or batch.y.shape != partner.y.shape:
        raise DataError(
            f"expected two batches of the same shapes, but got x {tuple(batch.x.shape)} and {tuple(partner.x.shape)}, "
            f"y {tuple(batch.y.shape)} and {tuple(partner.y.shape)}"
        )
    if not batch.x.is_floating_point():
        raise DataError(f"expected floating-point features, but got {batch.x.dtype}; mix embeddings instead of token numbers")
    seed = int(torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device))
    drawn = np.random.Generator(np.random.PCG64(seed)).beta(alpha, alpha, size=len(batch.y))
    share = torch.from_numpy(np.maximum(drawn, 1 - drawn)).to(batch.y)
    weight = None
    if batch.weight is not None or partner.weight is not None:
        weight = _blend(_weights_of(batch, partner), _weights_of(partner, batch), share)
    return Batch(batch.rows, _blend(batch.x, partner.x, share.to(batch.x)), _blend(batch.y, partner.y, share), weight)


def _blend(one: Float[Tensor, "b ..."], other: Float[Tensor, "b ..."], share: Float[Tensor, "b"]) -> Float[Tensor, "b ..."]:
    share = share.view(-1, *[1] * (one.ndim - 1))
    return share * one + (1 - share) * other


def _weights_of(batch: Batch, other: Batch) -> Tensor:
    """Return the weights of a batch, ones if it has none, for cells if those of either batch are."""
    weight = batch.y.new_ones(len(batch.y)) if batch.weight is None else batch.weight
    cells = weight.ndim == 1 and other.weight is not None and other.weight.ndim == 2
    return weight[:, None].expand_as(batch.y) if cells else weight
