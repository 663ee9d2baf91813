"""Which events came before, by id: eight bytes an event, more for the latest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

TOGETHER = 50_000  # new ids, before they join the sorted ones


class EventIds:
    """A set of ids that only grows. Two ids are taken for one with a probability of 3e-6 among ten million.

    Args:
        ids: the first of them.
    """

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._old = np.unique(np.fromiter(map(digest, ids), np.uint64))
        self._new: set[int] = set()

    def __contains__(self, event_id: str) -> bool:
        wanted = digest(event_id)
        if wanted in self._new:
            return True
        place = int(np.searchsorted(self._old, np.uint64(wanted)))
        return place < len(self._old) and int(self._old[place]) == wanted

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    def update(self, ids: Iterable[str]) -> None:
        """Adds ids."""
        self._new.update(map(digest, ids))
        if len(self._new) > TOGETHER:
            new = np.setdiff1d(np.fromiter(self._new, np.uint64), self._old)
            self._old, self._new = np.insert(self._old, np.searchsorted(self._old, new), new), set()


def digest(event_id: str) -> int:
    """An id as 64 bits."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "little")
