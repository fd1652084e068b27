"""CLIF against its authors' numbers, the textbook formulation and hand oracles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.published import Case, clif_roles
from tests.reference import clif as textbook

from polytag.data.dataset import Dataset
from polytag.data.stats import conditional_cooccurrence
from polytag.data.table import Table
from polytag.models import CLIF
from polytag.nn import labelwise
from polytag.types import Batch

CLOSE = {"rtol": 1e-8, "atol": 1e-12}


@pytest.mark.data
@pytest.mark.parametrize("name", ["clif", "clif_square", "clif_adabatch"])
def test_equals_the_published_code(golden: Path, name: str) -> None:
    case = Case(golden, name)
    dims = case.about["dims"]
    d, q = dims["d"], dims["q"]
    if name == "clif_adabatch":
        params = CLIF.preset_params("adabatch", d, q)
        assert (params["embedding"], params["hidden"], params["input_layers"]) == (dims["E"], dims["h"], dims["in_layers"])
    else:
        torch.testing.assert_close(torch.as_tensor(conditional_cooccurrence(case.arrays["Y_train"])), case["A"], **CLOSE)
        params = {"graph": case["A"], "embedding": dims["E"], "input_layers": dims["in_layers"]}
    model = CLIF(d, q, **{**params, "weight": case.about["hyper"]["lambda"]}).double()
    roles = clif_roles(model)
    case.fill(roles)
    if name != "clif_adabatch":
        model.graph.copy_(case["A"])  # the constructor has rounded it to float32
    model.eval()
    torch.testing.assert_close(model.embeddings(), case["eval/U"], **CLOSE)
    torch.testing.assert_close(model(case["x"]), case["eval/logits"], **CLOSE)
    torch.testing.assert_close(model(case["x"]).sigmoid(), case["eval/proba"], **CLOSE)
    if "eval/proba_shifted" in case:
        shift, model.shift = model.shift, CLIF(d, q, pre_sigmoid_bias=0.3).shift
        torch.testing.assert_close(model(case["x"]).sigmoid(), case["eval/proba_shifted"], **CLOSE)
        batch = Batch(torch.arange(dims["B"]), case["x"], case["y"])
        torch.testing.assert_close(model.objective(batch).logits.sigmoid(), case["eval/proba_shifted"], **CLOSE)
        model.shift = shift

    case.drop([m for part in (model.gin, model.input) for m in part.modules() if isinstance(m, torch.nn.Dropout)], 0.2)
    objective = model.train().objective(Batch(torch.arange(dims["B"]), case["x"], case["y"]))
    torch.testing.assert_close(objective.logits, case["train/logits"], **CLOSE)
    torch.testing.assert_close(objective.parts["classification"], case["loss/cls"], **CLOSE)
    torch.testing.assert_close(objective.parts["embedding"], case["loss/embedding"], **CLOSE)
    torch.testing.assert_close(objective.loss, case["loss/total"], **CLOSE)
    objective.loss.backward()
    checked = 0
    for role, tensor in roles.items():
        for key, value in ((f"grad/{role}", tensor.grad), (f"gradnorm/{role}", tensor.grad), (f"after/{role}", tensor)):
            if key in case:
                torch.testing.assert_close(value.norm() if key.startswith("gradnorm") else value, case[key], **CLOSE)
                checked += 1
    assert checked == 14


@pytest.mark.parametrize(("embedding", "layers", "sigmoid_gate"), [(8, 1, True), (4, 2, True), (5, 3, False)])
def test_equals_the_textbook_form(embedding: int, layers: int, sigmoid_gate: bool) -> None:
    torch.manual_seed(0)
    y = torch.tensor([[1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1]]).double()
    graph = textbook.cooccurrence(y)
    torch.testing.assert_close(torch.as_tensor(conditional_cooccurrence(y.numpy())), graph, **CLOSE)
    model = CLIF(5, 4, graph=graph, embedding=embedding, hidden=16, input_layers=layers, sigmoid_gate=sigmoid_gate).double()
    batch, written = Batch(torch.arange(5), torch.randn(5, 5).double(), y), textbook.TextbookCLIF(model)
    fast, slow = model.objective(batch), written.objective(batch)
    torch.testing.assert_close(fast.loss, slow.loss)
    torch.testing.assert_close(fast.logits, slow.logits)
    grads = [torch.autograd.grad(objective.loss, list(model.parameters())) for objective in (fast, slow)]
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)
    model.eval()  # with the running statistics that the step has moved away from their start
    torch.testing.assert_close(model(batch.x), written.predict(batch.x))
    u = written.embeddings()
    assert float(model.embedding_loss(u).detach()) == pytest.approx(textbook.embedding_loss(u, model.graph), rel=1e-9)


def test_embedding_oracle() -> None:
    model = CLIF(3, 2, graph=[[0, 0.5], [0.5, 0]])
    assert float(model.embedding_loss(torch.eye(2))) == pytest.approx(0.125, rel=1e-5)


def test_graph_oracle() -> None:
    y = np.array([[1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
    model = CLIF.from_data(Table(Dataset(np.zeros((6, 2)), y)))
    torch.testing.assert_close(model.graph, torch.tensor([[0, 0.35, 0.35], [0.35, 0, 0.5], [0.35, 0.5, 0]]))


def test_number_of_parameters() -> None:
    assert sum(p.numel() for p in CLIF(103, 14).parameters()) == 557_072


def test_one_label_cannot_be_trained_but_predicted() -> None:
    model = CLIF(3, 1)
    with pytest.raises(ValueError, match="q=1"):
        model.objective(Batch(torch.arange(2), torch.zeros(2, 3), torch.zeros(2, 1)))
    assert model.eval()(torch.zeros(2, 3)).shape == (2, 1)


def test_prediction_by_blocks_of_labels_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = CLIF(5, 7, hidden=16).eval(), torch.randn(4, 5)
    with torch.no_grad():
        whole = model(x)
        monkeypatch.setattr(labelwise, "_CELLS", 4 * 16 * 3)
        torch.testing.assert_close(model(x), whole)


def test_kept_gates_follow_the_weights() -> None:
    model, x = CLIF(5, 4, hidden=16).eval(), torch.randn(3, 5)
    other = CLIF(5, 4, hidden=16).eval()
    with torch.no_grad():
        before = model(x)
        kept = model._kept_gates()
        assert model._kept_gates() is kept
        model.gin[0].eps.add_(1.0)
        changed = model(x)
        assert not torch.equal(changed, before)
        model.load_state_dict(other.state_dict())
        torch.testing.assert_close(model(x), other(x))
    torch.testing.assert_close(model(x), other(x))  # with gradients, nothing is kept


def test_a_graph_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        CLIF(4, 3, graph=np.eye(2))


@pytest.mark.parametrize("bad", [{"embedding": 0}, {"hidden": 0}, {"input_layers": 0}, {"weight": -1.0}, {"pre_sigmoid_bias": 1.0}])
def test_refuses_senseless_numbers(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        CLIF(3, 2, **bad)
