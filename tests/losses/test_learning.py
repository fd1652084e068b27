"""Every loss trains a linear model, with class counts from the data; those for missing labels do so from single positives."""

import numpy as np
import pytest
import torch

from polytag import registry
from polytag.data import Dataset, Table, drop_labels, make_multilabel
from polytag.losses import BCE, EPR, PR, SPLC, AssumeNegative, Hill, LargeLoss, Loss, PartialBCE
from polytag.metrics import macro_auc
from polytag.models import Linear

DATA, _ = make_multilabel(1000, 8, 6, cardinality=2.0, imbalance=2.0, noise=0.1, correlation=0.0)
TRAIN, TEST = DATA.take(np.arange(600)), DATA.take(np.arange(600, 1000))


def trained(loss: Loss, table: Table) -> torch.Tensor:
    """Return the logits on new rows after 150 steps of Adam on batches of 100."""
    model = Linear.from_data(table, loss=loss)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for step in range(150):
        model.begin_epoch(step // 6)
        objective = model.objective(table[torch.arange(100) + 100 * (step % 6)])
        optimizer.zero_grad()
        objective.loss.backward()
        optimizer.step()
    with torch.no_grad():
        return model(torch.as_tensor(TEST.X, dtype=torch.float32))


@pytest.mark.parametrize("name", registry.names("loss"))
def test_learns_where_half_of_the_labels_are_unknown(name: str) -> None:
    table = Table(Dataset(TRAIN.X, drop_labels(TRAIN.Y, 0.5)))
    assert macro_auc(TEST.Y, trained(registry.get("loss", name).from_data(table), table).numpy()) > 0.9


@pytest.mark.parametrize(
    "loss", [AssumeNegative(), AssumeNegative(0.1), AssumeNegative(weak=True), EPR(k=2.0), PR(), Hill(), SPLC(), LargeLoss()], ids=repr
)
def test_learns_from_single_positives(loss: Loss) -> None:
    table = Table(Dataset(TRAIN.X, drop_labels(TRAIN.Y, single_positive=True)))
    assert macro_auc(TEST.Y, trained(loss, table).numpy()) > 0.85


@pytest.mark.parametrize("loss", [BCE(), PartialBCE()], ids=repr)
def test_ignoring_unknown_labels_needs_known_negatives(loss: Loss) -> None:
    table = Table(Dataset(TRAIN.X, drop_labels(TRAIN.Y, single_positive=True)))
    assert (trained(loss, table) > 0).float().mean() > 2 * TEST.Y.mean()
    table = Table(Dataset(TRAIN.X, drop_labels(TRAIN.Y, 0.2)))
    assert (trained(loss, table) > 0).float().mean() == pytest.approx(TEST.Y.mean(), abs=0.1)


@pytest.mark.parametrize("loss", [SPLC(0.4, 8), LargeLoss(0.01), LargeLoss(0.01, mode="correct")], ids=repr)
def test_doubting_negatives_finds_more_of_the_labels_that_are_missing(loss: Loss) -> None:
    table = Table(Dataset(TRAIN.X, drop_labels(TRAIN.Y, single_positive=True)))
    base = (trained(AssumeNegative(), table) > 0)[torch.as_tensor(TEST.Y) == 1].float().mean()
    assert (trained(loss, table) > 0)[torch.as_tensor(TEST.Y) == 1].float().mean() > base + 0.1
