"""Batch norm over the rows of several processes, here played by threads that wait for each other."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from polytag.nn import BatchNorm, pooled_statistics


def play(slices: list[torch.Tensor], layers: list[BatchNorm], counts: list[bool]) -> list[torch.Tensor]:
    """Normalise one slice in each thread, pooling the statistics."""
    barrier, table = threading.Barrier(len(slices), timeout=30), [torch.empty(0)] * len(slices)

    def act(rank: int) -> torch.Tensor:
        def gather(values: torch.Tensor) -> torch.Tensor:
            table[rank] = values.detach()
            barrier.wait()
            stacked = torch.stack(table)
            barrier.wait()
            return stacked

        with pooled_statistics(gather, counts[rank]):
            return layers[rank](slices[rank]).detach()

    with ThreadPoolExecutor(len(slices)) as pool:
        return list(pool.map(act, range(len(slices))))


@pytest.mark.parametrize("settings", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}], ids=str)
def test_slices_are_normalised_like_the_whole(settings: dict[str, Any]) -> None:
    rows = torch.randn(11, 3, generator=torch.Generator().manual_seed(0)) * 2 + 100
    whole, layers = BatchNorm(3, **settings), [BatchNorm(3, **settings) for _ in range(3)]
    for _ in range(3):
        expected = whole(rows).detach()
        found = play([rows[:4], rows[4:], rows[:1]], layers, [True, True, False])
        torch.testing.assert_close(torch.cat(found[:2]), expected, atol=1e-4, rtol=0)
        torch.testing.assert_close(found[2], expected[:1], atol=1e-4, rtol=0)
    for layer in layers:
        for ours, theirs in zip(layer.buffers(), whole.buffers()):
            torch.testing.assert_close(ours, theirs)


def test_a_batch_of_one_row_leaves_the_statistics_as_they_are() -> None:
    layers = [BatchNorm(2), BatchNorm(2)]
    found = play([torch.ones(1, 2), torch.zeros(1, 2)], layers, [True, False])
    torch.testing.assert_close(found[0], BatchNorm(2)(torch.ones(1, 2)).detach())
    assert all(int(layer.num_batches_tracked) == 0 for layer in layers)


def test_rows_that_are_the_same_everywhere_are_no_slices() -> None:
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    alone, layers = BatchNorm(2), [BatchNorm(2), BatchNorm(2)]
    expected = alone(rows).detach()
    for found, layer in zip(play([rows, rows], layers, [True, True]), layers):
        assert torch.equal(found, expected)
        assert torch.equal(layer.running_var, alone.running_var)


def test_evaluation_asks_nobody() -> None:
    def never(values: torch.Tensor) -> torch.Tensor:
        raise AssertionError

    with pooled_statistics(never):
        assert BatchNorm(2).eval()(torch.ones(3, 2)).shape == (3, 2)
