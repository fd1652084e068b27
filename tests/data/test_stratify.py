import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from tests.reference.stratify import iterative_stratification, replay

from polytag.data import Dataset, IterativeStratifiedKFold, kfold
from polytag.data.duplicates import duplicate_groups
from polytag.data.labels import LabelIndex
from polytag.data.splits import stratified_parts
from polytag.data.stratify import Items, _Greedy, deviation, labels_to_spread, part_sizes, spread
from polytag.data.synthetic import make_multilabel


class Logged(_Greedy):
    """The greedy pass with a diary of its choices."""

    def __init__(self, *args):
        self.log, self.because = [], None
        super().__init__(*args)

    def _choose(self, item, unit):
        self.because = unit
        return super()._choose(item, unit)

    def _place(self, item, part):
        self.log.append((item, self.because, part))
        self.because = None
        super()._place(item, part)


label_matrices = arrays(np.uint8, st.tuples(st.integers(4, 40), st.integers(1, 7)), elements=st.integers(0, 1))


@settings(max_examples=60, deadline=None)
@given(label_matrices, st.integers(2, 4), st.integers(0, 3))
def test_every_greedy_choice_is_one_the_paper_allows(Y, k, seed):
    shares = np.full(k, 1 / k)
    goal = part_sizes(len(Y), shares)
    greedy = Logged(Items.from_labels(LabelIndex.from_labels(Y)), shares, goal, np.random.default_rng(seed))
    greedy.run()
    replay(Y, shares, goal, greedy.log)


@settings(max_examples=60, deadline=None)
@given(label_matrices, st.lists(st.integers(1, 5), min_size=2, max_size=4), st.sampled_from([1, 2]))
def test_part_sizes_are_within_one_row(Y, weights, order):
    shares = np.array(weights) / sum(weights)
    parts = stratified_parts(Y, shares, order=order)
    sizes = np.bincount(parts, minlength=len(shares))
    assert (np.abs(sizes - shares * len(Y)) < 1 + 1e-9).all()
    assert sizes.tolist() == part_sizes(len(Y), shares).tolist()


@pytest.mark.parametrize("case", [(600, 8, 2.0, 3.0), (1200, 40, 3.0, 15.0), (500, 60, 8.0, 10.0)])
def test_not_worse_than_the_paper_on_average(case):
    n, q, cardinality, imbalance = case
    ours, theirs = [], []
    for seed in range(4):
        Y = make_multilabel(n, 5, q, cardinality=cardinality, imbalance=imbalance, seed=seed)[0].Y
        index = LabelIndex.from_labels(Y)
        ours.append(deviation(index, stratified_parts(Y, np.full(5, 0.2), seed=seed)))
        theirs.append(deviation(index, iterative_stratification(Y, np.full(5, 0.2), np.random.default_rng(seed))))
    ours, theirs = np.mean(ours, axis=0), np.mean(theirs, axis=0)
    assert (ours <= theirs * 1.02 + 1e-12).all(), (ours, theirs)


def test_much_better_than_chance(rng):
    Y = make_multilabel(1000, 5, 20, cardinality=3, imbalance=8)[0].Y
    index = LabelIndex.from_labels(Y)
    chance = deviation(index, rng.permutation(1000) % 5)
    assert deviation(index, stratified_parts(Y, np.full(5, 0.2))).labels < chance.labels / 4


def test_one_label_is_spread_exactly():
    Y = np.zeros((100, 1), dtype=np.uint8)
    Y[:20] = 1
    parts = stratified_parts(Y, [0.5, 0.3, 0.2])
    assert np.bincount(parts[:20]).tolist() == [10, 6, 4]
    assert np.bincount(parts[20:]).tolist() == [40, 24, 16]


def test_order_two_spreads_pairs_better():
    Y = make_multilabel(800, 5, 12, cardinality=3, imbalance=4, correlation=0.6)[0].Y
    pairs = Items.from_labels(LabelIndex.from_labels(Y), order=2)

    def pair_deviation(parts):
        held = np.bincount(parts[pairs.owners] * pairs.count + pairs.units, minlength=5 * pairs.count).reshape(5, -1)
        return np.abs(held - pairs.totals / 5)[:, pairs.labels :].sum()

    one, two = (np.mean([pair_deviation(stratified_parts(Y, np.full(5, 0.2), order=o, seed=s)) for s in range(3)]) for o in (1, 2))
    assert two < 0.9 * one


def test_pairs_are_those_of_at_least_two_rows():
    Y = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 1], [1, 0, 0]])
    items = Items.from_labels(LabelIndex.from_labels(Y), order=2)
    assert items.count == 4  # three labels and the pair (0, 1)
    assert items.totals.tolist() == [3, 2, 2, 2]
    assert [items.units[a:b].tolist() for a, b in zip(items.starts[:-1], items.starts[1:])] == [[0, 1, 3], [0, 1, 2, 3], [2], [0]]


def test_groups_hold_the_sum_of_their_rows():
    Y = np.array([[1, 1], [1, 0], [0, 1], [0, 0]])
    items = Items.from_labels(LabelIndex.from_labels(Y), groups=np.array([0, 0, 1, 1]))
    assert items.weights.tolist() == [2, 2]
    assert items.units.tolist() == [0, 1, 1]
    assert items.amounts.tolist() == [2, 1, 1]


def test_a_part_that_lacks_a_label_gets_one():
    """Greedy choices alone leave a label of two rows in one part, because a rarer label has bound them; here the repair finds a way."""
    missing = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        Y = (rng.random((60, 25)) < 0.12).astype(np.uint8)
        items = Items.from_labels(LabelIndex.from_labels(Y))
        shares = np.full(3, 1 / 3)
        greedy = _Greedy(items, shares, part_sizes(60, shares), np.random.default_rng(seed)).run()
        repaired = spread(items, shares, np.random.default_rng(seed))
        missing.append([deviation(LabelIndex.from_labels(Y), p).missing for p in (greedy, repaired)])
    before, after = np.sum(missing, axis=0)
    assert after <= before
    assert after <= 1


def test_deviation_by_hand():
    index = LabelIndex.from_labels(np.array([[1], [1], [0], [0]]))
    assert deviation(index, np.array([0, 0, 0, 1])).labels == pytest.approx((abs(2 / 1 - 1) + abs(0 - 1)) / 2)
    assert deviation(index, np.array([0, 0, 0, 1]))[1:] == (1.0, 1)


class TestDuplicateGroups:
    def test_dense_and_sparse_agree(self, rng):
        from scipy import sparse

        X = rng.integers(0, 2, size=(60, 5)).astype(float)
        groups = duplicate_groups(X)
        assert (groups == duplicate_groups(sparse.csr_matrix(X))).all()
        for i in range(60):
            assert np.array_equal((X[i] == X).all(axis=1), groups == groups[i])

    def test_the_sign_of_zero_and_missing_cells_do_not_matter(self):
        X = np.array([[0.0, np.nan], [-0.0, np.nan], [0.0, 1.0]])
        assert duplicate_groups(X).tolist() == [0, 0, 1]

    def test_stored_zeros_and_the_order_of_cells_do_not_matter(self):
        from scipy import sparse

        X = sparse.csr_array(([1.0, 2.0, 2.0, 1.0, 0.0], [0, 2, 2, 0, 1], [0, 2, 5]), shape=(2, 3))
        assert duplicate_groups(X).tolist() == [0, 0]
        assert X.nnz == 5  # the matrix that was given stays as it is

    def test_the_next_float_is_another_row(self):
        assert duplicate_groups(np.array([[1.0], [np.nextafter(1.0, 2)]])).tolist() == [0, 1]


def test_scarce_known_negatives_are_spread_too():
    rng = np.random.default_rng(5)
    Y = (rng.random((300, 4)) < [0.5, 0.9, 0.3, 0.5]).astype(float)
    Y[:, 1] = np.where((Y[:, 1] == 0) & (np.cumsum(Y[:, 1] == 0) > 10), np.nan, Y[:, 1])  # ten known negatives beside many positives
    Y[rng.random(300) < 0.5, 2] = np.nan
    expected = [*(Y == 1).sum(axis=0), 10]
    thin = sparse.csr_array(np.where(np.isnan(Y), 7, Y))
    thin.data[thin.data == 7] = np.nan
    for matrix in (Y, thin):
        assert labels_to_spread(matrix).counts.tolist() == expected
        parts = stratified_parts(matrix, np.full(5, 0.2))
        assert np.bincount(parts).tolist() == [60] * 5
        for held in (Y == 1, (Y == 0)[:, [1]]):
            counts = np.array([held[parts == part].sum(axis=0) for part in range(5)])
            assert (np.abs(counts - held.sum(axis=0) / 5) < 1.5).all()
    data = Dataset(np.zeros((300, 1)), Y)
    for split in kfold(data, 5, valid=0.25):
        assert (Y[split.test, 1] == 0).sum() == 2
        assert (Y[split.valid, 1] == 0).sum() == 2


def test_rows_without_any_known_label_are_split_by_number():
    Y = np.full((20, 3), np.nan)
    assert sorted(np.bincount(stratified_parts(Y, [0.75, 0.25])).tolist()) == [5, 15]
    assert all(len(test) == 5 for _, test in IterativeStratifiedKFold(4).split(Y, Y))
