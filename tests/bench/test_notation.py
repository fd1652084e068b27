"""Methods as text: names with parameters are read as tables write them."""

import pytest

from polytag.bench.method import Method
from polytag.bench.notation import read_call, split_names
from polytag.bench.spec import Experiment
from polytag.errors import ParameterError


def test_names_with_parameters_make_a_grid():
    grid = Experiment.grid(
        ["digits-scenes"], ["clif(hidden=8)", "mlp"], split_names(["random,hard(pressure=2, ties=index)"]), method={"threshold": 0.4}
    )
    assert [(m.backbone, m.strategy) for m in grid.methods][:2] == [
        ("clif(threshold=0.4, hidden=8)", "random"),
        ("clif(threshold=0.4, hidden=8)", "hard(pressure=2, ties=index)"),
    ]
    assert len(grid.methods) == 4


def test_what_a_table_writes_can_be_read_again():
    method = Method(model="clif", selector="d2ace", selector_params={"hardness": "code", "schedule": [10, 50], "label_weights": False})
    assert read_call(method.strategy) == ("d2ace", method.selector_params)


def test_parameters_of_one_method_win_over_those_of_all():
    params = {"selector_params": {"pressure": 3, "warmup": 1}}
    grid = Experiment.grid(["digits-scenes"], ["mlp"], ["hard", "hard(pressure=2)"], pressure=4, method=params)
    assert [m.selector_params for m in grid.methods] == [{"pressure": 3, "warmup": 1}, {"pressure": 2, "warmup": 1}]


@pytest.mark.parametrize("text", ["d2ace(", "d2ace)", "d2ace(hardness=code", "a(b=[1)"])
def test_parentheses_must_match(text):
    with pytest.raises(ParameterError, match="matching parentheses"):
        split_names([text])


@pytest.mark.parametrize("text", ["d2ace(code)", "(a=1)", "d2ace(a=1)b", "d2ace(=1)"])
def test_another_form_is_refused(text):
    with pytest.raises(ParameterError, match="parameter=value"):
        read_call(text)


def test_unknown_parameters_are_named():
    with pytest.raises(ParameterError, match="did you mean 'hardness'"):
        Experiment.grid(["digits-scenes"], ["mlp"], ["d2ace(hardnes=code)"])
