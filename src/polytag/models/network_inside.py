"""Models that work through the logits of any other network."""

import abc
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar, Self

from torch import nn

from polytag import registry
from polytag.data.table import Table
from polytag.errors import ParameterError
from polytag.models.base import MultiLabelModel

_READERS = {"tokens": "xmlcnn", "images": "small_cnn"}
"""The network where the rows are no table and none is named."""


class NetworkInside(MultiLabelModel, abc.ABC):
    """A model around a network that gives one logit a label: any registered model, or any module.

    A subclass takes ``network`` and ``network_params``, makes ``self.network`` of them with ``network_or``, and asks it for logits. The
    network's own objective is not used.

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
            **params: Parameters of the class.

        Raises:
            DataError: The network does not read this kind of data, or as for the class.
            ParameterError: The network has no such parameter.
        """
        chosen = _READERS.get(train.kind) if network is None else network
        if isinstance(chosen, str):
            kind = registry.get("model", chosen)
            kind.check_inputs(train)
            kind.check_names(network_params or {})
            network_params = {**kind.context(train), **dict(network_params or {})}
        return super().from_data(train, seed=seed, preset=preset, network=chosen, network_params=network_params, **params)

    @classmethod
    def tokenizer(cls, params: Mapping[str, Any]) -> Any:
        """Return the tokenizer of the named network."""
        network = params.get("network")
        return registry.get("model", network).tokenizer(params.get("network_params") or {}) if isinstance(network, str) else None

    def param_groups(self, lr: float) -> list[dict[str, Any]]:
        """Return the groups of the network, which has all parameters."""
        return self.network.param_groups(lr) if isinstance(self.network, MultiLabelModel) else super().param_groups(lr)


def network_or(
    own: Callable[[], nn.Module], network: str | nn.Module | None, params: Mapping[str, Any] | None, d: int, q: int
) -> nn.Module:
    """Return the network that was asked for: built by its name, or a copy; without one what ``own`` builds.

    Raises:
        ParameterError: There are parameters, but no name that they belong to.
    """
    if params and not isinstance(network, str):
        raise ParameterError(
            f"expected network_params only with the name of a model as network, but got {network=} and network_params={params}; "
            "name one, such as network='mlp'"
        )
    if isinstance(network, str):
        return registry.get("model", network)(d, q, **dict(params or {}))  # type: ignore[no-any-return]
    return own() if network is None else deepcopy(network)
