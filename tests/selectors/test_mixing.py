"""Mixed batches are convex combinations of two, by shares from the right law; paired selectors walk in step."""

import itertools
import re

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from tests.conftest import ROOT
from tests.reference.baselines import TOY_Y

from polytag.errors import DataError, ParameterError
from polytag.selectors.balancemix import BalanceMix
from polytag.selectors.base import BatchSelector
from polytag.selectors.mixing import mix, paired
from polytag.selectors.random import Random
from polytag.types import Batch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def two(b=6, shape=(3,), q=4):
    x, y = torch.randn(2, b, *shape, generator=seeded()), torch.randint(0, 2, (2, b, q), generator=seeded()).float()
    return Batch(torch.arange(b), x[0], y[0]), Batch(torch.arange(b) + 50, x[1], y[1])


@pytest.mark.parametrize("shape", [(3,), (2, 3, 3)])
def test_features_and_labels_are_blended_by_one_share_a_row(shape):
    batch, partner = two(shape=shape)
    ones, zeros = Batch(batch.rows, batch.x, torch.ones(6, 4)), Batch(partner.rows, partner.x, torch.zeros(6, 4))
    mixed = mix(ones, zeros, seeded(3))
    share = mixed.y[:, 0]
    assert len(set(share.tolist())) == 6
    assert torch.equal(mixed.y, share[:, None].expand(6, 4))
    wide = share.view(-1, *[1] * len(shape))
    torch.testing.assert_close(mixed.x, wide * batch.x + (1 - wide) * partner.x)
    assert torch.equal(mixed.rows, batch.rows)
    assert mixed.weight is None
    again = mix(batch, partner, seeded(3))  # the same chance, so the same shares
    torch.testing.assert_close(again.y, share[:, None] * batch.y + (1 - share[:, None]) * partner.y)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0])
def test_shares_are_the_larger_part_of_a_beta(alpha):
    b = 4000
    one, zero = (Batch(torch.arange(b), torch.full((b, 1), v, dtype=torch.float64), torch.zeros(b, 1)) for v in (1.0, 0.0))
    shares = mix(one, zero, seeded(), alpha=alpha).x[:, 0].numpy()
    assert shares.min() >= 0.5
    drawn = np.random.default_rng(1).beta(alpha, alpha, size=b)
    assert kstest(shares, np.maximum(drawn, 1 - drawn)).pvalue > 1e-3


def test_unknown_labels_stay_unknown():
    batch, partner = two()
    batch.y[0, 0] = partner.y[1, 1] = torch.nan
    unknown = mix(batch, partner, seeded()).y.isnan()
    assert unknown.nonzero().tolist() == [[0, 0], [1, 1]]


def test_chance_comes_from_the_generator_only():
    batch, partner = two()
    before, generator = torch.get_rng_state(), seeded(1)
    first, second = (mix(batch, partner, generator).x for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first, second)
    assert torch.equal(first, mix(batch, partner, seeded(1)).x)


def test_batches_are_left_as_they_were():
    batch, partner = two()
    copies = [t.clone() for t in (batch.x, batch.y, partner.x, partner.y)]
    mix(batch, partner, seeded())
    assert all(torch.equal(a, b) for a, b in zip(copies, (batch.x, batch.y, partner.x, partner.y)))


def test_weights_are_blended_where_there_are_any():
    batch, partner = two()
    share = mix(batch._replace(y=torch.ones(6, 4)), partner._replace(y=torch.zeros(6, 4)), seeded()).y[:, 0]
    rows, cells = torch.full((6,), 3.0), torch.full((6, 4), 5.0)
    cases = [
        (rows, None, 3 * share + (1 - share)),
        (None, rows, share + 3 * (1 - share)),
        (None, cells, (share + 5 * (1 - share))[:, None].expand(6, 4)),
        (rows, cells, (3 * share + 5 * (1 - share))[:, None].expand(6, 4)),
        (cells, rows, (5 * share + 3 * (1 - share))[:, None].expand(6, 4)),
    ]
    for one, other, expected in cases:
        torch.testing.assert_close(mix(batch._replace(weight=one), partner._replace(weight=other), seeded()).weight, expected)


def test_what_cannot_be_mixed():
    batch, partner = two()
    for wrong in (partner._replace(x=partner.x[1:]), partner._replace(y=partner.y[:, 1:])):
        with pytest.raises(DataError, match="same shapes"):
            mix(batch, wrong, seeded())
    tokens = [b._replace(x=torch.ones(6, 3, dtype=torch.int64)) for b in (batch, partner)]
    with pytest.raises(DataError, match="token"):
        mix(*tokens, seeded())
    for alpha in (0, -1.0, float("nan")):
        with pytest.raises(ParameterError, match="alpha"):
            mix(batch, partner, seeded(), alpha=alpha)


def logits_of(rows):
    return torch.randn(len(rows), 3, generator=seeded(int(rows.sum()))) + rows[:, None]


def epochs(random, minority, count):
    """Run epochs of the pair, with updates; yield the pairs of row numbers."""
    for _ in range(count):
        for rows, partners in paired(random, minority):
            minority.update(rows, logits_of(rows))
            yield rows.tolist(), partners.tolist()


def make(seed=0, warmup=1):
    Y = np.tile(TOY_Y, (5, 1))
    return Random(Y, 8, seed=seed), BalanceMix(Y, 8, warmup=warmup, seed=seed)


def test_pairs_are_passes_with_minority_batches_of_the_same_length():
    pairs = list(epochs(*make(), 3))
    assert [len(rows) for rows, _ in pairs] == [8, 8, 8, 1] * 3
    assert all(len(rows) == len(partners) for rows, partners in pairs)
    for epoch in range(3):
        assert sorted(itertools.chain(*(rows for rows, _ in pairs[4 * epoch : 4 * epoch + 4]))) == list(range(25))
    assert all(rows == partners for rows, partners in pairs[:4])  # both warm up
    assert all(rows != partners for rows, partners in pairs[4:7])


@pytest.mark.parametrize("stop", [1, 4, 6, 8])
def test_a_resumed_pair_goes_on_in_step(stop):
    straight, resumed = make(seed=1), make(seed=7)
    pairs = epochs(*straight, 4)
    for _ in range(stop):
        next(pairs)
    for new, old in zip(resumed, straight):
        new.load_state_dict(old.state_dict())
    assert list(epochs(*resumed, 5))[: 16 - stop] == list(pairs)


def test_the_loop_on_the_page_runs():
    page = (ROOT / "docs/methods/selectors/balancemix.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    names: dict = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(block, names)
    assert names["minority"].epoch == 3
    assert names["minority"]._counts.sum() == 100 * 4
    assert names["model"].weight.grad is None  # a step was made, and the gradient dropped


class Candidates(BatchSelector):
    def draw(self, k):
        self.screening = True
        return torch.arange(k)


def test_selectors_that_cannot_be_paired():
    random, _ = make()
    for other in (BalanceMix(TOY_Y, 8), BalanceMix(np.tile(TOY_Y, (5, 1)), 5)):
        with pytest.raises(ParameterError, match="as many rows and batches"):
            next(paired(random, other))
    with pytest.raises(ParameterError, match="candidates"):
        next(paired(random, Candidates(np.tile(TOY_Y, (5, 1)), 8)))
