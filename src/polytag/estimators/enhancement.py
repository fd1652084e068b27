"""Label enhancement for an estimator: which method, and what became of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from polytag import registry
from polytag.data.table import Table
from polytag.enhance import Enhancer, Recovered
from polytag.errors import DataError, ParameterError
from polytag.models.base import MultiLabelModel
from polytag.models.enhanced import Enhanced
from polytag.types import Array


def chosen(enhance: str | Enhancer | None, params: Mapping[str, Any] | None) -> Enhancer | None:
    """Return the method that a name and its parameters mean; an ``Enhancer`` is returned as it is.

    Raises:
        UnknownNameError: There is no method of that name.
        ParameterError: The method has no such parameter, or none of that value; or there are parameters, but no name for them.
    """
    given = dict(params or {})
    if enhance is None or isinstance(enhance, Enhancer):
        if given:
            instead = "enhance=None" if enhance is None else f"a {type(enhance).__name__}, which has its own"
            raise ParameterError(f"expected the name of an enhancer for enhance_params={given!r}, but got {instead}")
        return enhance
    method = registry.get("enhancer", enhance)
    known = registry.keywords(method)
    for name in given:
        if known and name not in known:
            raise ParameterError(registry.unknown(f"parameter of enhancer {enhance!r}", name, sorted(known)))
    found: Enhancer = method(**given)
    return found


def around(model: MultiLabelModel, enhancer: Enhancer, train: Table, valid: Table | None, seed: int) -> Enhanced:
    """Put a companion beside a model; it starts from a seed of its own.

    Raises:
        DataError: A label is unknown: in held-out rows as well, so that the answer does not depend on how the rows were split.
    """
    _require_known_labels(train, valid)
    return Enhanced.around(model, enhancer, train, seed=seed + 1)


def outcome(model: MultiLabelModel, rows: Array, n: int) -> tuple[Enhanced | None, Array | None]:
    """Return a trained model whose companion can be asked about any rows, or else the distributions that were known before training.

    Args:
        model: What was trained; without a companion there is neither.
        rows: Numbers of its training rows.
        n: Number of all rows; those that were held out get NaN.
    """
    if not isinstance(model, Enhanced):
        return None, None
    if not isinstance(model.companion, Recovered):
        return model, None
    known = model.companion.known
    found: Array = np.full((n, known.shape[1]), np.nan)
    found[rows] = _summing_to_one(known)
    return None, found


def require_learnt(estimator: Any) -> Enhanced:
    """Return a fitted estimator's enhanced model if its companion can be asked about any rows.

    Raises:
        ParameterError: There is none, or it knew its training rows only; the message says what to do.
    """
    if estimator._enhanced is not None:
        found: Enhanced = estimator._enhanced
        return found
    if estimator.enhance is None:
        why = "enhance is None; choose a one-stage method such as 'flem'"
    elif estimator.label_distributions_ is None:
        why = "the estimator was read from a file, which holds what predicts and nothing else; ask before saving"
    else:
        why = (
            f"{estimator.enhance!r} is a two-stage method, which recovers distributions of given rows; those of the training rows are in "
            "label_distributions_, and its fit_transform(X, Y) recovers those of other rows"
        )
    raise ParameterError(f"expected a label-enhancement method that can be asked about rows, but {why}")


def distributions(model: Enhanced, table: Table) -> Array:
    """Return what a companion that learnt says of rows and their labels, shape (n, q).

    Raises:
        DataError: A label is unknown.
    """
    _require_known_labels(table)
    return _summing_to_one(torch.cat([model.distributions(batch) for batch in table.blocks(1024)]))


def _require_known_labels(*tables: Table | None) -> None:
    if any(table is not None and table.has_unknown_labels for table in tables):
        raise DataError(
            "expected known labels for label enhancement, but some are unknown (NaN); drop their rows, fill them in, or set enhance=None"
        )


def _summing_to_one(values: torch.Tensor) -> Array:
    wide = values.double().cpu().numpy()
    normed: Array = wide / wide.sum(axis=1, keepdims=True)
    return normed
