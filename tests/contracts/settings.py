"""With which parameters, and at which pace, the contract trains a model; models that are not named here take their defaults."""

from typing import Any, NamedTuple

from polytag.testing.models import Pace


class Setting(NamedTuple):
    params: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    pace: Pace = Pace()


SETTINGS: dict[str, Setting] = {
}  # fmt: skip
