"""Scores become coherent, by the definition with the dense matrix, in every type and at every size."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.hierarchy.graphs import below, dense_down, dense_product, dense_up, relabelled, with_scores

from polytag.errors import DataError, ParameterError
from polytag.hierarchy import Hierarchy
from polytag.hierarchy.constraint import Constraint

T4 = Hierarchy.from_edges([("A", "a1"), ("A", "a2")], names=["A", "B", "a1", "a2"])
SLOW = {"up": dense_up, "down": dense_down, "product": dense_product}
few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("how", SLOW)
@few
@given(drawn=with_scores())
def test_equals_the_dense_definition(how: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    np.testing.assert_array_equal(h.constrain(scores, how), SLOW[how](h, scores))


@pytest.mark.parametrize("how", ["up", "down"])
@few
@given(drawn=with_scores())
def test_equals_the_dense_definition_on_logits(how: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    logits = np.log(scores / (1 - scores))
    logits[scores > 0.7], logits[scores < 0.2] = np.inf, -np.inf
    np.testing.assert_array_equal(h.constrain(logits, how), SLOW[how](h, logits))
    single = torch.from_numpy(logits).float()
    np.testing.assert_array_equal(h.constrain(single, how).numpy(), SLOW[how](h, single.numpy()))


@pytest.mark.parametrize("how", SLOW)
@few
@given(drawn=with_scores())
def test_coherent_and_then_unchanged(how: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    found = h.constrain(scores, how)
    child, parent = h.edges.T
    assert (found[:, child] <= found[:, parent]).all()
    if how != "product":
        np.testing.assert_array_equal(h.constrain(found, how), found)
        np.testing.assert_array_equal(h.constrain(found, "up" if how == "down" else "down"), found)


@pytest.mark.parametrize("how", SLOW)
@few
@given(drawn=with_scores())
def test_order_of_the_labels_does_not_matter(how: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    order = np.random.default_rng(0).permutation(h.q)
    np.testing.assert_array_equal(relabelled(h, order).constrain(scores[:, order], how), h.constrain(scores, how)[:, order])


@few
@given(drawn=with_scores())
def test_thresholds_add_ancestors_or_remove_orphans(drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    raw, R = scores > 0.4, below(h)
    up, down = (h.constrain(scores, how) > 0.4 for how in ("up", "down"))
    np.testing.assert_array_equal(up, (raw[:, None, :] & R).any(axis=2))
    np.testing.assert_array_equal(down, (raw[:, None, :] | ~R.T).all(axis=2))
    assert h.violations(up).sum() == h.violations(down).sum() == 0


@pytest.mark.parametrize(
    ("h", "scores", "expected"),
    [
        (T4, [0.3, 0.6, 0.5, 0.2], [0.5, 0.6, 0.5, 0.2]),
        (Hierarchy.from_edges([("X", "C"), ("Y", "C")], names=["X", "Y", "C"]), [0.2, 0.7, 0.4], [0.4, 0.7, 0.4]),
        (Hierarchy.from_edges([("x", "y"), ("y", "z")]), [0.1, 0.2, 0.9], [0.9, 0.9, 0.9]),
    ],
)
def test_scores_by_hand(h: Hierarchy, scores: list[float], expected: list[float]) -> None:
    assert h.constrain([scores]).tolist() == [expected]


def test_sets_by_hand() -> None:
    scores = np.array([[0.3, 0.6, 0.5, 0.2]])
    assert (scores > 0.4).tolist() == [[False, True, True, False]]
    assert (T4.constrain(scores) > 0.4).tolist() == [[True, True, True, False]]
    assert T4.constrain(scores, "down").tolist() == [[0.3, 0.6, 0.3, 0.2]]
    assert T4.constrain(scores, "product").tolist() == [[0.3, 0.6, 0.5 * 0.3, 0.2 * 0.3]]


@pytest.mark.parametrize("how", SLOW)
@few
@given(drawn=with_scores(ties=False, most=7))
def test_gradients(how: str, drawn: tuple[Hierarchy, np.ndarray]) -> None:
    h, scores = drawn
    assert torch.autograd.gradcheck(lambda each: h.constraint(each, how), torch.from_numpy(scores).requires_grad_(), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("how", SLOW)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_type_of_number(how: str, dtype: torch.dtype) -> None:
    scores = torch.tensor([[0.25, 0.5, 0.75, 0.125]], dtype=dtype, requires_grad=True)
    found = T4.constraint(scores, how)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found.detach().double().numpy(), SLOW[how](T4, scores.detach().double().numpy()))
    found.sum().backward()
    assert scores.grad is not None
    assert scores.grad.dtype == dtype


@pytest.mark.parametrize("how", SLOW)
def test_no_rows_and_a_single_label(how: str) -> None:
    assert T4.constraint(torch.zeros(0, 4), how).shape == (0, 4)
    assert T4.constrain(np.zeros((0, 4)), how).shape == (0, 4)
    alone = Hierarchy(("a",), np.zeros((0, 2)).astype(int))
    assert alone.constrain([[0.3], [0.6]], how).tolist() == [[0.3], [0.6]]
    assert (alone.depth, alone.levels.tolist(), alone.tops, alone.ends, alone.is_tree) == (1, [1], ("a",), ("a",), True)


def test_the_module_can_be_copied_moved_and_stored() -> None:
    module = T4.make_constraint()
    assert not module.state_dict()
    assert not list(module.parameters())
    scores = torch.tensor([[0.3, 0.6, 0.5, 0.2]])
    stored = io.BytesIO()
    torch.save(module, stored)
    stored.seek(0)
    copies = [copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(stored, weights_only=False), module.half().double()]
    for each in copies:
        assert torch.equal(each(scores), T4.constrain(scores))
    moved = copy.deepcopy(module).to("meta")
    assert {each.device.type for each in moved.buffers()} == {"meta"}
    assert moved(scores.to("meta")).shape == scores.shape


@pytest.mark.parametrize("how", SLOW)
def test_wrong_width(how: str) -> None:
    with pytest.raises(DataError, match=r"expected scores of shape \(b, 4\).*\(2, 3\)"):
        T4.constraint(torch.zeros(2, 3), how)


def test_wrong_way() -> None:
    with pytest.raises(ParameterError, match="'up', 'down' or 'product', but got 'sideways'"):
        T4.constrain(np.zeros((1, 4)), "sideways")  # type: ignore[arg-type]


def test_memory_of_a_training_step_on_a_large_ontology() -> None:
    """Bytes of all tensors that one pass holds at once stay under 1 GB, for 256 rows and 4130 labels."""
    q, rng = 4130, np.random.default_rng(0)
    child = np.repeat(np.arange(1, q), 2)
    h = Hierarchy(tuple(map(str, range(q))), np.stack([child, (rng.random(len(child)) * child).astype(int)], axis=1))
    module = h.make_constraint()
    scores = torch.randn(256, q, requires_grad=True)
    with torch.profiler.profile(profile_memory=True) as profile:
        module(scores).sum().backward()
    held = most = 0
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    assert 256 * q * 4 < most < 1e9


def deep(q: int, tree: bool) -> Constraint:
    child = np.arange(1, q)
    parent = (np.random.default_rng(0).random(q - 1) * child).astype(int) if tree else child - 1
    return Hierarchy(tuple(map(str, range(q))), np.stack([child, parent], axis=1)).make_constraint()


def test_a_hundred_thousand_labels() -> None:
    module = deep(100_000, tree=True)
    scores = torch.rand(2, 100_000, requires_grad=True)
    found = module(scores)
    found.sum().backward()
    assert bool((found[:, module.child] <= found[:, module.parent]).all())
    assert sum(each.numel() for each in module.buffers()) < 10 * 100_000


def test_a_chain_keeps_few_numbers_and_takes_its_largest() -> None:
    module = deep(3_000, tree=False)
    scores = torch.rand(2, 3_000)
    assert torch.equal(module(scores), scores.flip(1).cummax(1).values.flip(1))
    assert torch.equal(module(scores, "down"), scores.cummin(1).values)
    torch.testing.assert_close(module(scores.double() ** 0.001, "product"), scores.double().pow(0.001).cumprod(1))
    assert sum(each.numel() for each in module.buffers()) < 10 * 3_000
