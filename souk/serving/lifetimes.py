"""Items that are not there yet at the moment of a request, or not any more: no candidates of training either."""

from __future__ import annotations

import numpy as np

from souk.items import ItemTable


class Lifetimes:
    """Which items are there, and when.

    Dates of creation may be wrong: what was engaged with was there. When an item ends, its date says.

    Args:
        created_at: `[items]` float64, UTC epoch milliseconds; NaN where unknown.
        available_until: `[items]` float64, the last moment at which an item is to be had; inf where it has no end.
        engaged: `[items]` bool, who was engaged with.
    """

    def __init__(self, created_at: np.ndarray, available_until: np.ndarray, engaged: np.ndarray) -> None:
        self._born = np.where(np.isnan(created_at) | engaged, -np.inf, created_at)
        self._until = available_until
        self._births = np.sort(self._born[self._born > -np.inf])
        self._ends = np.sort(available_until[available_until < np.inf])
        self._kept: tuple[tuple[int, int], np.ndarray | None] = (-1, -1), None

    @classmethod
    def of(cls, items: ItemTable) -> Lifetimes:
        """Those of an item table."""
        return cls(items.created_at, items.available_until, items.counters[:, 0] > 0)

    def passed(self, time: int) -> tuple[int, int]:
        """How many items have come and how many have ended at a time, UTC epoch milliseconds: at times with the same
        counts the same items are there."""
        return int(np.searchsorted(self._births, time, side="right")), int(np.searchsorted(self._ends, time))

    def at(self, time: int) -> np.ndarray | None:
        """`[items]` bool, which items are there at a time, UTC epoch milliseconds; read-only. None where all are."""
        passed = self.passed(time)
        if passed == (len(self._births), 0):
            return None
        known, there = self._kept  # who asks next most often asks of the same items
        if there is None or known != passed:
            there = (self._born <= time) & (self._until >= time)
            there.setflags(write=False)
            self._kept = passed, there
        return there
