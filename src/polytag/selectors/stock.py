"""Proposals made in advance: where AdaC takes the next row of a chain from, a few microseconds each."""

import numpy as np

from polytag.selectors.chain import LabelChain
from polytag.types import Array


class Stock:
    """Proposals for one label, in the order in which they will be considered, each with the luck that decides about its acceptance.

    Proposals do not depend on the weights; only their acceptance does. So they can be made in advance, and a proposal that was looked at
    but not needed may be looked at again with the weights of another batch.
    """

    def __init__(self, chain: LabelChain, label: int, seed: int, turn: int, place: int, size: int) -> None:
        self._chain, self._label, self._seed, self._size = chain, label, seed, size
        self.turn, self.place = turn, place
        self._hits: list[tuple[int, int]] = []
        self._make()

    def _make(self) -> None:
        """Make the proposals of this turn; the generator depends on seed, label and turn only, so that they need not be saved."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=(2, self._label, self.turn))))
        everything = self._label == self._chain.index.q
        self._rows = (
            generator.integers(self._chain.index.n, size=self._size)
            if everything
            else self._chain.propose(self._label, self._size, generator)
        )
        self._luck = generator.standard_exponential(len(self._rows))
        self._looked = self.place

    def forget(self) -> None:
        """Drop what was accepted but not needed; it will be looked at again."""
        self._hits, self._looked = [], self.place

    def next(self, chosen: dict[int, None]) -> int | None:
        """Use up accepted proposals until one is not chosen yet; None when there are no more."""
        while self._hits:
            self.place, row = self._hits.pop()
            if row not in chosen:
                return row
        return None

    def look(self, m: int) -> tuple[Array, Array]:
        """Return the next proposals, at most m, and their luck."""
        self.place = self._looked
        if self.place >= len(self._rows):
            self.turn, self.place = self.turn + 1, 0
            self._make()
        self._looked = min(self.place + m, len(self._rows))
        return self._rows[self.place : self._looked], self._luck[self.place : self._looked]

    def take(self, passed: Array) -> int:
        """Keep the proposals of the last look that were accepted; return how many."""
        at = np.flatnonzero(passed)[::-1]
        self._hits = list(zip((at + self.place + 1).tolist(), self._rows[at + self.place].tolist()))
        return len(at)


class Stocks:
    """One stock a label, made when it is first asked for, and one (number q) for all rows."""

    def __init__(self, chain: LabelChain, seed: int) -> None:
        self._chain, self._seed = chain, seed
        q = chain.index.q
        self._size = min(max(2**22 // (q + 1), 64), 4096)
        self._rounds, self._places = np.zeros(q + 1, dtype=np.int64), np.zeros(q + 1, dtype=np.int64)
        self._made: dict[int, Stock] = {}
        self._asked: set[int] = set()

    def of(self, label: int) -> Stock:
        """Return the stock of a label."""
        self._asked.add(label)
        stock = self._made.get(label)
        if stock is None:
            turn, place = int(self._rounds[label]), int(self._places[label])
            stock = self._made[label] = Stock(self._chain, label, self._seed, turn, place, self._size)
        return stock

    def forget(self) -> None:
        """Begin a batch: acceptance is decided anew."""
        for label in self._asked:
            self._made[label].forget()
        self._asked.clear()

    def positions(self) -> tuple[Array, Array]:
        """Return for each label which turn its stock is in, and how far it is used up."""
        rounds, places = self._rounds.copy(), self._places.copy()
        for label, stock in self._made.items():
            rounds[label], places[label] = stock.turn, stock.place
        return rounds, places

    def restore(self, rounds: Array, places: Array) -> None:
        """Take over positions; the stocks are made again when they are asked for."""
        self._rounds, self._places = rounds, places
        self._made.clear()
        self._asked.clear()
