"""One linear classifier per label."""

import math

import pytest
import torch

from polytag.nn import LabelwiseLinear, label_blocks, labelwise


def test_equals_a_grouped_convolution() -> None:
    head = LabelwiseLinear(4, 6)
    features = torch.randn(4, 5, 6)
    convolved = torch.nn.functional.conv1d(features.transpose(0, 1), head.weight[:, None], head.bias, groups=4).squeeze(2)
    torch.testing.assert_close(head(features).T, convolved)
    torch.testing.assert_close(head(features[1:3], slice(1, 3)), head(features)[1:3])


def test_initial_weights() -> None:
    head = LabelwiseLinear(50, 100)
    for values in (head.weight.detach(), head.bias.detach()):
        assert 0.8 / math.sqrt(100) < float(values.abs().max()) <= 1 / math.sqrt(100)


@pytest.mark.parametrize(("q", "cells"), [(1, 1), (7, 3), (7, 100), (7, 1000), (3, 0)])
def test_blocks_cover_all_labels_once(q: int, cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelwise, "_CELLS", 100)
    blocks = label_blocks(q, cells)
    covered = [list(range(q))[block] for block in blocks]
    assert [j for block in covered for j in block] == list(range(q))
    assert all(len(block) == 1 or len(block) * cells <= 100 for block in covered)
