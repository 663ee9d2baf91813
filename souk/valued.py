"""Items with their values: what a user's past and what is asked are compared by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from souk.items import ItemTable


@dataclass(frozen=True)
class Valued:
    """Items with each of their values, found once for all who compare them.

    Args:
        positions: `[M]` int64.
        row: `[V]` int64, ascending: the index in `positions` of each value.
        value: `[V]` the values.
    """

    positions: np.ndarray
    row: np.ndarray
    value: np.ndarray

    @classmethod
    def of(cls, items: ItemTable, positions: np.ndarray) -> Self:
        """The items at `positions`."""
        return cls(positions, *items.expanded(positions))

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, part: slice) -> Valued:
        """Those of a part, from `start` to `stop`."""
        if part == slice(0, len(self)):
            return self
        start, end = np.searchsorted(self.row, [part.start, part.stop])
        return Valued(self.positions[part], self.row[start:end] - part.start, self.value[start:end])

    @cached_property
    def counts(self) -> np.ndarray:
        """How many values each item has, `[M]` int64."""
        return np.bincount(self.row, minlength=len(self))

    def means(self, of: np.ndarray) -> np.ndarray:
        """`[M]` float64: of each item the mean of what its values have, `[V]`; 0 without values."""
        return np.asarray(np.bincount(self.row, of, len(self)) / np.maximum(1, self.counts))
