"""What the models that read any kind of data as a sequence of tokens share."""

from typing import Any, ClassVar

from polytag.data.table import Table
from polytag.models.base import MultiLabelModel
from polytag.nn import token_context


class TokenModel(MultiLabelModel):
    """A model that turns tables, words or pictures into tokens (``InputTokens``); the training rows say how.

    A subclass takes ``form``, ``vocabulary`` and ``shape``, and hands them to ``InputTokens``.
    """

    INPUTS: ClassVar[tuple[str, ...]] = ("table", "tokens", "images")

    @classmethod
    def context(cls, train: Table) -> dict[str, Any]:
        """Return how the rows are read."""
        return token_context(train)
