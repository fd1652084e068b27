"""Models run where their weights are."""

from contextlib import nullcontext

import pytest
import torch
from tests.contracts.settings import SETTINGS, Setting

from polytag import registry
from polytag.testing.models import Subject, batch_of, logits_of
from polytag.types import Batch

NAMES = registry.names("model")
BY_VALUE = {
    "hybrid": "it normalises over the tokens that are there",
    "tabm": "it looks whether a feature is a flag",
    "text_encoder": "it cuts off columns of padding",
}
"""Models whose shapes depend on values, which the meta device does not have."""


def subject(name: str) -> Subject:
    return Subject(registry.get("model", name), params=SETTINGS.get(name, Setting()).params)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_made_on_another_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors on the ``meta`` device have shapes but no values, and do not mix with others: a stray CPU tensor fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know this device
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    if name in BY_VALUE:
        pytest.skip(f"has no shapes without values: {BY_VALUE[name]}")
    table = subject(name).toy()
    model = subject(name)(table).to("meta")
    batch = Batch(*(part.to("meta") for part in batch_of(table)[:3]))
    objective = model.objective(batch)
    assert objective.loss.device.type == objective.logits.device.type == "meta"
    assert logits_of(model, batch.x).shape == (table.n, table.q)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_gpu_gives_the_numbers_of_the_cpu(name: str, precision: torch.dtype) -> None:
    table = subject(name).toy()
    model, batch = subject(name)(table).eval(), batch_of(table)
    expected = model.objective(batch)
    model.cuda()
    with torch.autocast("cuda", precision, enabled=precision != torch.float32):
        objective = model.objective(Batch(*(part.cuda() for part in batch[:3])))
    objective.loss.backward()
    close = {"rtol": 1e-3, "atol": 1e-4} if precision == torch.float32 else {"rtol": 0.05, "atol": 0.05}
    torch.testing.assert_close(objective.logits.float().cpu(), expected.logits, **close)
    torch.testing.assert_close(objective.loss.cpu(), expected.loss, **close)
    assert all(p.grad.isfinite().all() for p in model.parameters())
