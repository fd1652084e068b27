"""Models that work through the logits of any other network."""

import abc
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self, TypeVar

from torch import nn

from polytag import registry
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.models.base import MultiLabelModel, is_plain

_Model = TypeVar("_Model", bound=MultiLabelModel)

_READERS = {"tokens": "xmlcnn", "images": "small_cnn"}
"""The network where the rows are no table and none is named."""


class NetworkInside(MultiLabelModel, abc.ABC):
    """A model around a network that gives one logit a label: any registered model, or any module.

    A subclass takes ``network``, ``network_params`` and ``network_context``, makes ``self.network`` of them with ``network_or``, and asks
    it for logits. The network's own objective is not used.

    Attributes:
        network: What gives the logits.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens", "images")

    network: nn.Module

    @classmethod
    def from_data(
        cls,
        train: Table,
        *,
        seed: int = 0,
        preset: str | None = None,
        network: str | nn.Module | None = None,
        network_params: Mapping[str, Any] | None = None,
        network_context: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Self:
        """Build the model for a training table, and in it the named network with what that needs from the table.

        Args:
            train: As for any model.
            seed: As for any model.
            preset: As for any model.
            network: Name of a model, or a network; ``None``: the class's own for tables, ``"xmlcnn"`` for tokens, ``"small_cnn"`` for
                pictures.
            network_params: Parameters of the named model.
            network_context: What the named model chose by the data when it was built before (``config``); it wins over a new choice.
            **params: Parameters of the class.

        Raises:
            DataError: The network does not read this kind of data, or as for the class.
            ParameterError: The network has no such parameter.
        """
        chosen = _READERS.get(train.kind) if network is None else network
        context = network_context_of(chosen, train, network_params, network_context) if isinstance(chosen, str) else None
        own = {"network": chosen, "network_params": network_params, "network_context": context}
        model = super().from_data(train, seed=seed, preset=preset, **own, **params)
        return remember(model, context)

    @classmethod
    def reads(cls, params: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the named network reads."""
        network = params.get("network")
        return registry.get("model", network).reads(params.get("network_params") or {}) if isinstance(network, str) else cls.INPUTS

    @classmethod
    def tokenizer(cls, params: Mapping[str, Any]) -> Any:
        """Return the tokenizer of the named network."""
        network = params.get("network")
        return registry.get("model", network).tokenizer(params.get("network_params") or {}) if isinstance(network, str) else None

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the groups of the network, which has all parameters."""
        return self.network.param_groups(lr) if isinstance(self.network, MultiLabelModel) else super().param_groups(lr)


def network_context_of(network: str, train: Table, params: Mapping[str, Any] | None, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what a network in a model takes from the training table.

    Args:
        network: Name of the network.
        train: The training rows.
        params: Parameters that were asked for.
        before: What was remembered of an earlier table; it wins.

    Raises:
        DataError: The network does not read this kind of data.
        ParameterError: The network has no such parameter.
    """
    kind = registry.get("model", network)
    kind.check_inputs(train)
    kind.check_names(params or {})
    return {**kind.context(train), **(before or {})}


def remember(model: _Model, context: Mapping[str, Any] | None) -> _Model:
    """Let a model's ``config`` hold what the network in it took from the data."""
    if context:
        model.config = {**model.config, "network_context": {name: value for name, value in context.items() if is_plain(value)}}
    return model


def network_or(
    own: Callable[[], nn.Module],
    network: str | nn.Module | None,
    params: Mapping[str, Any] | None,
    context: Mapping[str, Any] | None,
    d: int,
    q: int,
) -> nn.Module:
    """Return the network that was asked for: built by its name, or a copy; without one what ``own`` builds.

    Args:
        own: Builds the usual network.
        network: Name of a model, or a network.
        params: Parameters of the named model; they win over ``context``.
        context: What it takes from the data.
        d: Number of features.
        q: Number of labels.

    Raises:
        ParameterError: There are parameters, but no name that they belong to.
    """
    if params and not isinstance(network, str):
        raise ParameterError(
            f"expected network_params only with the name of a model as network, but got {network=} and network_params={params}; "
            "name one, such as network='mlp'"
        )
    if isinstance(network, str):
        return registry.get("model", network)(d, q, **{**(context or {}), **(params or {})})  # type: ignore[no-any-return]
    return own() if network is None else deepcopy(network)
