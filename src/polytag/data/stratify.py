"""Spread rows over parts so that every part has its share of every label: iterative stratification, on the positive cells only."""

from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import sparse

from polytag.data.labels import LabelIndex
from polytag.types import Array, ArrayLike


def labels_to_spread(Y: ArrayLike, index: LabelIndex | None = None) -> LabelIndex:
    """Return what the parts should have their share of: the positives of each label, and the known negatives where those are scarcer.

    With complete labels a part that has its share of rows and of positives has that of negatives too. With unknown labels (NaN) it need
    not: a label that is partly unknown and has fewer known negatives than positives gets a column of its own for them, behind the labels.

    Args:
        Y: Labels (n, q): NumPy, SciPy sparse or torch.
        index: Their index, if it is at hand.

    Cost: that of the index, and O(n q) to look for unknown cells among floats in memory; labels in a mapped file are not searched.

    Example:
        >>> labels_to_spread(np.array([[1, 1], [1, 0], [0, 0], [np.nan, 0]])).counts
        array([2, 1, 1])
    """
    index = LabelIndex.from_labels(Y) if index is None else index
    Y = Y.detach().cpu().numpy() if hasattr(Y, "detach") else Y
    values = Y.data if hasattr(Y, "tocsr") else Y
    if isinstance(values, np.memmap) or not np.issubdtype(values.dtype, np.floating) or not np.isnan(values).any():
        return index
    matrix = sparse.csr_array(Y) if hasattr(Y, "tocsr") else Y
    positive = sparse.csr_array(matrix == 1)
    if hasattr(matrix, "indptr"):
        unknown = sparse.csr_array((np.isnan(matrix.data), matrix.indices, matrix.indptr), matrix.shape)
    else:
        unknown = sparse.csr_array(np.isnan(matrix))
    hidden = np.asarray(unknown.sum(axis=0)).ravel()
    scarce = np.flatnonzero((hidden > 0) & (index.n - hidden - index.counts < index.counts))
    known = 1 - (positive[:, scarce] + unknown[:, scarce]).toarray().astype(np.uint8)
    return LabelIndex.from_labels(sparse.hstack([positive, sparse.csr_array(known)], format="csr"))


@dataclass(frozen=True)
class Items:
    """What is spread: items (rows, or groups of rows that stay together) and the units that each of them holds.

    A unit is a label, or with order 2 also a pair of labels.

    Attributes:
        weights: Rows of each item, shape (m,).
        starts: Shape (m + 1,); the units of item i are ``units[starts[i]:starts[i + 1]]``.
        units: Shape (cells,), ascending within an item.
        amounts: Shape (cells,); how many rows of the item hold the unit.
        count: Number of units.
        labels: Number of units that are labels; they come first.
    """

    weights: Array
    starts: Array
    units: Array
    amounts: Array
    count: int
    labels: int

    @classmethod
    def from_labels(cls, index: LabelIndex, order: int = 1, groups: Array | None = None) -> "Items":
        """Make the items of a label matrix.

        Args:
            index: The positive cells.
            order: 1 for labels, 2 for labels and pairs of labels.
            groups: Group number of each row, 0 .. m - 1; ``None`` leaves every row on its own.

        Cost: O(positives) with order 1, O(sum of squared row sizes) with order 2, times a logarithm for pairs and groups.
        """
        rows, units, count = np.repeat(np.arange(index.n), index.sizes), index.columns, index.q
        if order == 2:
            pair_rows, pairs = _pairs(index)
            rows, units = np.concatenate([rows, pair_rows]), np.concatenate([units, index.q + pairs])
            count = index.q + (int(pairs.max()) + 1 if len(pairs) else 0)
        if groups is None:
            by_row = np.argsort(rows, kind="stable")
            starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=index.n))])
            return cls(np.ones(index.n, dtype=np.int64), starts, units[by_row], np.ones(len(units), dtype=np.int64), count, index.q)
        weights = np.bincount(groups)
        cells, amounts = np.unique(groups[rows] * count + units, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(np.bincount(cells // max(count, 1), minlength=len(weights)))])
        return cls(weights, starts, cells % max(count, 1), amounts, count, index.q)

    @property
    def owners(self) -> Array:
        """Item of each cell, shape (cells,)."""
        return np.repeat(np.arange(len(self.weights)), np.diff(self.starts))

    @property
    def totals(self) -> Array:
        """Rows that hold each unit, shape (count,)."""
        return np.bincount(self.units, weights=self.amounts, minlength=self.count).astype(np.int64)


def _pairs(index: LabelIndex) -> tuple[Array, Array]:
    """Return (rows, pair numbers) of all label pairs that at least two rows hold; a pair of one row cannot be spread."""
    rows, codes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    sizes = index.sizes
    for size in np.unique(sizes[sizes > 1]):
        holders = np.flatnonzero(sizes == size)
        first, second = np.triu_indices(int(size), 1)
        labels = index.columns[index.row_starts[holders][:, None] + np.arange(size)]
        codes.append((labels[:, first] * index.q + labels[:, second]).ravel())
        rows.append(np.repeat(holders, len(first)))
    row, code = np.concatenate(rows), np.concatenate(codes)
    _, number, held = np.unique(code, return_inverse=True, return_counts=True)
    kept = held[number] > 1
    return row[kept], (np.cumsum(held > 1) - 1)[number[kept]]


def part_sizes(n: int, shares: Array) -> Array:
    """Return whole part sizes that add up to n, each within one row of ``share * n`` (largest remainders, first parts first)."""
    exact = np.asarray(shares, dtype=np.float64) * n
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    sizes[np.argsort(sizes - exact, kind="stable")[: n - int(sizes.sum())]] += 1
    return sizes


def spread(items: Items, shares: Array, rng: np.random.Generator | None = None) -> Array:
    """Put each item into one part, so that each part holds its share of the rows and of every unit.

    The rarest remaining unit goes first; each of its items goes to the part that wants the unit most, then to the part with most room,
    then to the part that wants the item's other units most. Afterwards parts that are too full hand over the items that disturb the
    units least, a part that lacks a label gets one where it can, and some items are exchanged where that helps.

    Args:
        items: From ``Items.from_labels``.
        shares: Share of each part, shape (k,), adding up to 1.
        rng: Breaks the remaining ties and orders the items; ``None`` takes the first ones.

    Returns:
        Part of each item, shape (m,), int64. Without groups the part sizes are exactly ``part_sizes(n, shares)``.

    Cost: O(cells k) time for the greedy pass, O(cells) for each item that is handed over or exchanged (30 exchanges, up to
        500 if parts lacked a label or there are groups, fewer above 40,000 cells); O(cells + units k) memory.
    """
    shares = np.asarray(shares, dtype=np.float64)
    goal = part_sizes(int(items.weights.sum()), shares)
    parts = _Greedy(items, shares, goal, rng).run()
    repair = Repair(items, parts, shares, goal)
    hard = repair.cover() or items.weights.max(initial=1) > 1  # groups bring many units at once, and the greedy pass cannot look ahead
    repair.level()
    repair.polish(min(500 if hard else 30, 20_000_000 // max(len(items.units), 1)))  # each costs O(cells): at most a few seconds in all
    return repair.parts


class _Greedy:
    """The greedy pass. Plain lists throughout: each step touches a handful of numbers, for which they are faster than arrays."""

    def __init__(self, items: Items, shares: Array, goal: Array, rng: np.random.Generator | None) -> None:
        m, totals = len(items.weights), items.totals
        shuffled = np.arange(m) if rng is None else rng.permutation(m)
        rank = np.empty(m, dtype=np.int64)
        rank[shuffled[np.argsort(-items.weights[shuffled], kind="stable")]] = np.arange(m)  # heavy items first, while there is room
        owners = items.owners
        by_unit = np.lexsort((rank[owners], items.units))
        self.order = np.argsort(rank).tolist()
        self.holders, self.holder_starts = (
            owners[by_unit].tolist(),
            [0, *np.cumsum(np.bincount(items.units, minlength=items.count)).tolist()],
        )
        self.starts, self.units, self.amounts = items.starts.tolist(), items.units.tolist(), items.amounts.tolist()
        self.weights, self.remaining, self.room = items.weights.tolist(), totals.tolist(), goal.tolist()
        self.want = [(share * totals).tolist() for share in shares]
        self.turn = [0] * m if rng is None else rng.integers(2**31, size=m).tolist()
        self.parts = [-1] * m
        tried = np.arange(items.count) if rng is None else rng.permutation(items.count)
        self.buckets: list[list[int]] = [[] for _ in range(int(totals.max(initial=0)) + 1)]
        for unit in tried.tolist():
            self.buckets[self.remaining[unit]].append(unit)

    def run(self) -> Array:
        """Place everything: the rarest unit first, items without units last."""
        buckets, remaining, parts = self.buckets, self.remaining, self.parts
        self.least = 1
        while self.least < len(buckets):
            if not buckets[self.least]:
                self.least += 1
                continue
            unit = buckets[self.least].pop()
            if remaining[unit] != self.least:  # it has become rarer since and stands in another bucket too
                continue
            for item in self.holders[self.holder_starts[unit] : self.holder_starts[unit + 1]]:
                if parts[item] < 0:
                    self._place(item, self._choose(item, unit))
        for item in self.order:
            if parts[item] < 0:
                self._place(item, self._narrow(list(range(len(self.room))), self.room, item))
        return np.array(parts, dtype=np.int64)

    def _choose(self, item: int, unit: int) -> int:
        wanted = [want[unit] for want in self.want]
        top = max(wanted)
        tied = [part for part, value in enumerate(wanted) if value == top]
        return tied[0] if len(tied) == 1 else self._narrow(tied, self.room, item)

    def _narrow(self, tied: list[int], room: list[int], item: int) -> int:
        top = max([room[part] for part in tied])
        tied = [part for part in tied if room[part] == top]
        if len(tied) > 1:
            units = self.units[self.starts[item] : self.starts[item + 1]]
            wanted = [sum([self.want[part][unit] for unit in units]) for part in tied]
            top = max(wanted)
            tied = [part for part, value in zip(tied, wanted) if value == top]
        return tied[self.turn[item] % len(tied)]

    def _place(self, item: int, part: int) -> None:
        self.parts[item] = part
        self.room[part] -= self.weights[item]
        want, remaining, buckets = self.want[part], self.remaining, self.buckets
        for cell in range(self.starts[item], self.starts[item + 1]):
            unit, amount = self.units[cell], self.amounts[cell]
            want[unit] -= amount
            left = remaining[unit] - amount
            remaining[unit] = left
            buckets[left].append(unit)
            if 0 < left < self.least:
                self.least = left


class Repair:
    """Single moves after the greedy pass: parts that lack a unit get one, parts that are too full hand items over.

    The cost of a state is ``sum over parts f and units u of |held[f, u] - share_f total_u|``, plus a large number for each part that holds
    none of a label with at least as many rows as there are parts.
    """

    def __init__(self, items: Items, parts: Array, shares: Array, goal: Array) -> None:
        self.items, self.parts, owners = items, parts, items.owners
        k, totals = len(shares), items.totals
        cells = parts[owners] * items.count + items.units
        self.held = np.bincount(cells, weights=items.amounts, minlength=k * items.count).reshape(k, items.count)
        self.target = shares[:, None] * totals
        self.excess = np.bincount(parts, weights=items.weights, minlength=k).astype(np.int64) - goal
        self.lacking = np.where((totals >= k) & (goal.min() > 0) & (np.arange(items.count) < items.labels), 1e6, 0.0)

    def _price(self, part: int, change: Array, units: Array) -> Array:
        """Return how much the cost of these units grows when the part's holdings change so."""
        held, target = self.held[part, units], self.target[part, units]
        after = held + change
        emptied = (after <= 0).astype(np.float64) - (held <= 0)
        price: Array = np.abs(after - target) - np.abs(held - target) + self.lacking[units] * emptied
        return price

    def _prices(self, moved: Array, source: int, to: int) -> Array:
        """Return the growth of the cost for moving each of these items, all in one part."""
        starts = self.items.starts[moved]
        sizes = self.items.starts[moved + 1] - starts
        owner = np.repeat(np.arange(len(moved)), sizes)
        cells = np.arange(len(owner)) + (starts - np.cumsum(sizes) + sizes)[owner]
        units, amounts = self.items.units[cells], self.items.amounts[cells]
        growth = self._price(source, -amounts, units) + self._price(to, amounts, units)
        return np.bincount(owner, weights=growth, minlength=len(moved))

    def _move(self, item: int, to: int) -> None:
        source, items = self.parts[item], self.items
        cells = slice(items.starts[item], items.starts[item + 1])
        self.held[source, items.units[cells]] -= items.amounts[cells]
        self.held[to, items.units[cells]] += items.amounts[cells]
        self.excess[source] -= items.weights[item]
        self.excess[to] += items.weights[item]
        self.parts[item] = to

    def cover(self) -> bool:
        """Give each part at least one row of each label that has enough rows, where a single move does it without harm elsewhere.

        Returns:
            Whether some part lacked a label.
        """
        lacks = np.argwhere((self.held <= 0) & (self.lacking > 0)).tolist()
        for to, unit in lacks:
            if self.held[to, unit] > 0:  # an earlier move brought it
                continue
            holders = np.searchsorted(self.items.starts, np.flatnonzero(self.items.units == unit), side="right") - 1
            best = (0.0, -1)
            for source in np.flatnonzero(self.held[:, unit] > 1).tolist():
                moved = holders[self.parts[holders] == source]
                prices = self._prices(moved, source, to)
                at = int(np.argmin(prices))
                best = min(best, (float(prices[at]), int(moved[at])))
            if best[1] >= 0:
                self._move(best[1], to)
        return bool(lacks)

    def level(self) -> None:
        """Move items from parts that are too full to parts that are not full, cheapest first, until the sizes are as wanted."""
        weights = self.items.weights
        while True:
            source, to = int(np.argmax(self.excess)), int(np.argmin(self.excess))
            most = min(self.excess[source], -self.excess[to])
            moved = np.flatnonzero((self.parts == source) & (weights <= most))
            if most <= 0 or not len(moved):
                return
            cheapest = np.argsort(self._prices(moved, source, to) / weights[moved], kind="stable")
            for item in moved[cheapest[: 1 + most // 8]].tolist():  # prices change with every move: few at a time
                if weights[item] <= min(self.excess[source], -self.excess[to]):
                    self._move(item, to)

    def polish(self, most: int) -> None:
        """Exchange items of equal weight between two parts while that lowers the cost; a few at a time, so that all get their turn."""
        improved = True
        while improved and most > 0:
            improved = False
            for one, other in combinations(range(len(self.excess)), 2):
                for _ in range(min(10, most)):
                    if not self._exchange(one, other):
                        break
                    improved, most = True, most - 1

    def _exchange(self, one: int, other: int) -> bool:
        """Exchange the pair of items that promises most, unless that raises the cost."""
        here, there = np.flatnonzero(self.parts == one), np.flatnonzero(self.parts == other)
        giving, taking = self._prices(here, one, other), self._prices(there, other, one)
        best: tuple[float, int, int] = (-1e-9, -1, -1)
        weights = self.items.weights
        for weight in np.intersect1d(weights[here], weights[there]):
            a, b = np.flatnonzero(weights[here] == weight), np.flatnonzero(weights[there] == weight)
            a, b = a[np.argmin(giving[a])], b[np.argmin(taking[b])]
            best = min(best, (float(giving[a] + taking[b]), int(here[a]), int(there[b])))
        _, first, second = best
        if first < 0:
            return False
        price = float(self._prices(np.array([first]), one, other)[0])
        self._move(first, other)
        price += float(self._prices(np.array([second]), other, one)[0])
        if price >= -1e-9:  # the two prices were those of a single move each
            self._move(first, one)
            return False
        self._move(second, one)
        return True


class Deviation(NamedTuple):
    """How far parts are from a perfect stratification; smaller is better.

    Attributes:
        labels: LD, mean over labels and parts of the difference between the odds of the label in the part and in the whole.
        examples: ED, mean over parts of the difference between the size and the wanted size.
        missing: Cells (part, label) without a positive although the label has at least as many rows as there are parts.
    """

    labels: float
    examples: float
    missing: int


def deviation(index: LabelIndex, parts: Array, shares: Array | None = None) -> Deviation:
    """Measure how well parts are stratified.

    Args:
        index: The positive cells of the labels.
        parts: Part of each row, shape (n,).
        shares: Share of each part; ``None`` for equal ones.

    Reference: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011, section 4.

    Example:
        >>> import numpy as np
        >>> deviation(LabelIndex.from_labels(np.array([[1], [0], [1], [0]])), np.array([0, 0, 1, 1]))
        Deviation(labels=0.0, examples=0.0, missing=0)
    """
    k = int(parts.max()) + 1 if shares is None else len(shares)
    wanted = np.full(k, 1 / k) if shares is None else np.asarray(shares)
    sizes = np.bincount(parts, minlength=k)
    cells = np.repeat(parts, index.sizes) * index.q + index.columns
    held = np.bincount(cells, minlength=k * index.q).reshape(k, index.q)
    odds = held / np.maximum(sizes[:, None] - held, 1)
    whole = index.counts / np.maximum(index.n - index.counts, 1)
    missing = int(((held == 0) & (index.counts >= k)).sum())
    return Deviation(float(np.abs(odds - whole).mean()), float(np.abs(sizes - wanted * index.n).mean()), missing)
