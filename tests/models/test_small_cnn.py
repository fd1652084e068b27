"""The small convolutional network: its size, its sums by hand, and what it can learn."""

import numpy as np
import pytest
import torch

from polytag.data import Dataset, Table
from polytag.errors import DataError, ParameterError
from polytag.models import SmallCNN
from polytag.testing.models import batch_of, toy, train


def test_number_of_parameters():
    convolutions = 9 * (3 * 32 + 32 * 64 + 64 * 128 + 128 * 256)
    assert sum(p.numel() for p in SmallCNN(3, 5).parameters()) == convolutions + 2 * (32 + 64 + 128 + 256) + 5 * 257 == 390_181


def test_one_block_by_hand():
    model = SmallCNN(1, 1, widths=[1], dropout=0.0).eval()
    with torch.no_grad():
        model.blocks[0].convolution.weight.fill_(1.0)
        model.output.weight.fill_(2.0)
        model.output.bias.fill_(-1.0)
    picture = torch.zeros(1, 1, 3, 3)
    picture[0, 0, 0, 0] = 1.0
    # Sums of neighbourhoods are 1 in the upper left 2 x 2 and 0 elsewhere; pooling 2 x 2 of 3 x 3, rounded up, keeps [[1, 0], [0, 0]].
    expected = 2 * (1 / np.sqrt(1 + 1e-5)) / 4 - 1
    assert float(model(picture).detach()) == pytest.approx(expected, rel=1e-5)


def test_regions_tell_where_and_the_average_does_not():
    rng = np.random.default_rng(0)
    x = np.zeros((64, 1, 16, 16), np.uint8)
    left = rng.random(64) < 0.5
    for row, side in enumerate(left):
        top, start = rng.integers(2, 10), 2 if side else 10
        x[row, 0, top : top + 4, start : start + 4] = 255
    table = Table(Dataset(x, left[:, None].astype(np.uint8), kind="images"))
    right = {}
    for grid in (1, 2):
        model = SmallCNN.from_data(table, widths=[8], grid=grid, dropout=0.0)
        train(model, batch_of(table), 60, lr=1e-2)
        right[grid] = float(((model(batch_of(table).x) > 0) == batch_of(table).y.bool()).float().mean())
    assert right[2] > 0.95
    assert right[1] < 0.8


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 3, 5, 40), (2, 4, 33, 17)])
def test_pictures_of_any_size_and_number_of_channels_train(shape):
    model = SmallCNN(shape[1], 2).train()
    assert model(torch.rand(shape)).shape == (shape[0], 2)


def test_wrong_parameters_and_data_are_named():
    for wrong in ({"widths": ()}, {"widths": (8, 0)}, {"grid": 0}, {"dropout": 1.0}):
        with pytest.raises(ParameterError, match=f"{next(iter(wrong))}="):
            SmallCNN(3, 2, **wrong)
    with pytest.raises(DataError, match="SmallCNN reads images, but got table"):
        SmallCNN.from_data(toy())
