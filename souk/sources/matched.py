"""Items with values of the user's own, or of the visit's (`souk.matches`): what is to be had in the user's town."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from souk.items import ItemTable

MOST = 5000  # items of a value that are compared


@dataclass(frozen=True)
class ByValue:
    """The items of each value of a column that is matched, the MOST most popular of them.

    Args:
        start: `[values + 1]` int64, where the items of each value start in `positions`.
        positions: int64, of the items.
    """

    start: np.ndarray
    positions: np.ndarray

    @classmethod
    def of(cls, items: ItemTable) -> ByValue:
        """Those of an item table, by what was taken lately when it was made; items that nobody took come last."""
        theirs = {name for _, name in items.matches}
        known = np.array([name in theirs for name, _ in items.words], bool)
        if not known.any():
            return cls(np.zeros(1, np.int64), np.zeros(0, np.int64))
        size = len(items.value_start) - 1
        popular = np.argsort(-items.counts.weights[:size], kind="stable")
        place, value = items.expanded(popular)
        place, value = place[known[value]], value[known[value]].astype(np.int32)
        order = np.argsort(value, kind="stable")  # of 32 bits it is quicker
        row, value = popular[place[order]], value[order]
        start = np.searchsorted(value, np.arange(len(known) + 1))
        most = np.arange(len(value)) - start[value] < MOST
        return cls(np.concatenate([[0], np.cumsum(most)])[start], row[most])

    def having(self, numbers: Collection[int]) -> np.ndarray:
        """The items of some values, ascending and each once."""
        parts = [self.positions[self.start[n] : self.start[n + 1]] for n in numbers if n + 1 < len(self.start)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
