"""Random is a permutation an epoch."""

import numpy as np
import torch

from polytag.selectors import Random


def test_each_epoch_is_a_permutation():
    selector = Random(np.zeros((23, 2)), 5, seed=0)
    for _ in range(3):
        batches = list(selector)
        assert [len(rows) for rows in batches] == [5, 5, 5, 5, 3]
        assert sorted(torch.cat(batches).tolist()) == list(range(23))


def test_rows_meet_each_other_equally_often():
    selector = Random(np.zeros((4, 1)), 2, seed=0)
    together = np.zeros((4, 4))
    for _ in range(3000):
        for rows in selector:
            together[rows[0], rows[1]] += 1
    expected = 6000 / 12
    off = together[~np.eye(4, dtype=bool)]
    assert ((off - expected) ** 2 / expected).sum() < 31.3  # 99.9 % point of chi-square with 11 degrees of freedom


def test_a_single_draw_stands_apart_from_the_passes():
    selector = Random(np.zeros((9, 1)), 3, seed=0)
    assert len(selector.draw(4).unique()) == 4
    assert len(selector.draw(99)) == 9
