"""Names lead to methods; wrong names lead to the right ones."""

import pytest

from polytag import registry
from polytag.errors import ParameterError, UnknownNameError


def test_known_names_give_classes() -> None:
    from polytag.selectors import Adaptive

    assert registry.get("selector", "adaptive") is Adaptive
    assert {"random", "hard", "adaptive", "adac"} <= set(registry.names("selector"))
    assert {"linear", "mlp", "clif", "dela"} <= set(registry.names("model"))


def test_unknown_names_are_corrected() -> None:
    with pytest.raises(UnknownNameError, match=r"no selector called 'adaptve'; did you mean 'adaptive'"):
        registry.get("selector", "adaptve")
    with pytest.raises(KeyError, match="kind of method"):
        registry.names("selektor")


def test_a_name_is_taken_once() -> None:
    class Other:
        """Something else."""

    registry.names("selector")
    with pytest.raises(ParameterError, match="already belongs"):
        registry.register("selector", "adaptive")(Other)


def test_other_packages_can_add_methods() -> None:
    @registry.register("loss", "test_only")
    class TestOnly:
        """A method from outside."""

    try:
        assert registry.get("loss", "test_only") is TestOnly
    finally:
        del registry._METHODS["loss"]["test_only"]


def test_keywords_go_up_to_the_base_class_where_the_rest_is_passed_on() -> None:
    class Base:
        def __init__(self, y: int, size: int = 1, *, seed: int = 0) -> None: ...

    class Passes(Base):
        def __init__(self, y: int, *, depth: int, **others: int) -> None: ...

    class TakesAnything:
        def __init__(self, **others: int) -> None: ...

    assert registry.keywords(Base) == {"size", "seed"}
    assert registry.keywords(Passes) == {"size", "seed", "depth"}
    assert registry.keywords(TakesAnything) == registry.keywords(len) == set()
