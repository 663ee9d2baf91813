"""What the choice of a slate remembers as it grows: what an item would add, whose places are full, who is due."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAME = 1e-6  # of a squared distance: an item that is as good as another one


class Added:
    """What each candidate adds to those chosen: `squared` `[C]`, from 1 for all to SAME for what is there already.

    Args:
        vectors: `[C, dim]`, of which the directions count.
        places: how many are chosen at most.
    """

    def __init__(self, vectors: np.ndarray, places: int) -> None:
        self._vectors, self._size = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SAME), 0
        self._basis = np.zeros((places, vectors.shape[1]), np.float32)
        self.squared = np.ones(len(vectors))

    def take(self, chosen: int) -> None:
        """The incremental Cholesky factor of the kernel, a row: the vectors along what the chosen one adds."""
        vector, basis = self._vectors[chosen], self._basis[: self._size]
        rest = vector - (basis @ vector) @ basis
        length = float(rest @ rest)
        if length > SAME:
            along = self._vectors @ (rest / np.sqrt(length))
            self._basis[self._size], self._size = rest / np.sqrt(length), self._size + 1
            self.squared = np.maximum(self.squared - along * along, SAME)


class Caps:
    """At most so many of one value: `over` `[C]`, how many caps each candidate would break now.

    Args:
        values: `[C, caps]`, -1 for none.
        most: of each column.
    """

    def __init__(self, values: np.ndarray, most: Sequence[int]) -> None:
        self._values, self._most = values, most
        self._counts: dict[tuple[int, int], int] = {}
        self._over = np.zeros(len(values), np.int64)

    def narrowed(self, left: np.ndarray) -> np.ndarray:
        """Those of `left` `[C]` that break no cap; where all do, those that break the fewest."""
        if not self._most:
            return left
        kept = left & (self._over == 0)
        return kept if kept.any() else left & (self._over == self._over[left].min())

    def take(self, chosen: int) -> None:
        """Counts the values of the chosen one."""
        for column, most in enumerate(self._most):
            value = int(self._values[chosen, column])
            if value >= 0:
                count = self._counts[column, value] = self._counts.get((column, value), 0) + 1
                if count == most:
                    self._over += self._values[:, column] == value


class Floor:
    """Places for new items: of the first p that are chosen, at least ⌊share · p⌋, while there are new ones.

    It counts places of the slate as a set. The slate stands in the ranker's order, where new items may be the last: no
    shorter part of it need hold the share.

    Args:
        new: `[C]` bool.
        share: of the places.
    """

    def __init__(self, new: np.ndarray, share: float) -> None:
        self._new, self._share = new, share
        self._places = self._given = 0

    def narrowed(self, left: np.ndarray) -> np.ndarray:
        """The new ones of `left` `[C]`, where this place is theirs."""
        due = int(self._share * (self._places + 1) + 1e-9) > self._given
        return left & self._new if due and (left & self._new).any() else left

    def take(self, chosen: int) -> None:
        """Counts a place."""
        self._places += 1
        self._given += bool(self._new[chosen])
