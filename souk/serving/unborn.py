"""Items that are not there yet at the moment of a request, as evaluation and training leave them out."""

from __future__ import annotations

import numpy as np

from souk.items import ItemTable


class Unborn:
    """Which items are to come.

    Dates of creation may be wrong: what was engaged with was there.

    Args:
        items: `created_at`, and in `counters` who was engaged with.
    """

    def __init__(self, items: ItemTable) -> None:
        dated = np.flatnonzero(np.isfinite(items.created_at) & (items.counters[:, 0] == 0))
        order = np.argsort(items.created_at[dated], kind="stable")
        self._positions, self._births = dated[order], items.created_at[dated[order]]
        self.last = int(self._births[-1]) if len(order) else 0  # when all are there
        self._kept = 0, frozenset(self._positions.tolist())  # who asks next most often asks of the same items

    def at(self, time: int) -> frozenset[int]:
        """The positions of items that come after a time, UTC epoch milliseconds: none but for a comparison, mostly."""
        if time >= self.last:
            return frozenset()
        first, (known, kept) = int(np.searchsorted(self._births, time, side="right")), self._kept
        if first != known:
            kept = frozenset(self._positions[first:].tolist())
            self._kept = first, kept
        return kept
