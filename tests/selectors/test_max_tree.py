"""The tree's maximum is the maximum."""

import numpy as np
import pytest

from polytag.selectors.max_tree import MaxTree


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 4096, 5000])
def test_equals_max_after_many_changes_with_decreases(n, rng):
    tree, plain = MaxTree(np.zeros(n)), np.zeros(n)
    for step in range(10_000 if n == 5000 else 300):
        places = rng.integers(n, size=rng.integers(1, 9))
        values = rng.gamma(1.0, size=len(places))
        if step % 3 == 0:
            places[0], values[0] = plain.argmax(), 0.01 * rng.random()
        _, last = np.unique(places[::-1], return_index=True)
        kept = len(places) - 1 - last
        tree.change(places[kept], values[kept])
        plain[places[kept]] = values[kept]
        assert tree.max == plain.max()
    assert np.array_equal(tree.values, plain)


def test_last_value_of_a_repeated_place_counts():
    tree = MaxTree(np.ones(100))
    tree.change(np.array([70, 70]), np.array([9.0, 2.0]))
    assert tree.max == 2.0


def test_does_not_share_memory_with_its_input():
    values = np.ones(64)
    MaxTree(values).change(np.array([0]), np.array([5.0]))
    assert values.max() == 1.0
