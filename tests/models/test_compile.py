"""Compiled models compute what plain ones compute: logits, loss and gradients."""

import os
import shutil

import pytest
import torch

from polytag.hierarchy import Hierarchy
from polytag.models import CHMCNN, DELA, MLP, MultiLabelModel
from polytag.types import Batch

pytestmark = [
    pytest.mark.skipif(
        not any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))),
        reason="torch.compile needs a C++ compiler on the CPU: install g++, or set CXX",
    ),
    pytest.mark.filterwarnings("ignore"),  # of the compiler, none of ours
]


HIERARCHY = Hierarchy.from_edges([("a", "b"), ("b", "c"), ("a", "c")])
MAKERS = {
    "mlp": lambda: MLP(5, 3, hidden=[8], dropout=0.0),
    "dela": lambda: DELA(5, 3, latent=4),
    "chmcnn": lambda: CHMCNN(5, 3, hierarchy=HIERARCHY, hidden=8),
}


@pytest.mark.parametrize("name", MAKERS)
def test_compiled_equals_plain(name: str) -> None:
    torch.manual_seed(0)
    model: MultiLabelModel = MAKERS[name]().eval()  # no random numbers
    y = torch.from_numpy(HIERARCHY.close(torch.randint(2, (6, 3)).numpy())).float()
    batch = Batch(torch.arange(6), torch.randn(6, 5), y)
    torch._dynamo.reset()
    plain, compiled = model.objective(batch), torch.compile(model.objective)(batch)
    torch.testing.assert_close(compiled.loss, plain.loss)
    torch.testing.assert_close(compiled.logits, plain.logits)
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad(found.loss, parameters, allow_unused=True) for found in (compiled, plain))
    torch.testing.assert_close(ours, theirs)
