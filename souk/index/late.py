"""An index that could not be opened when it was wanted: searches open it once it can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from souk.index.interface import Allowed, Exclusions, Index, IndexUnavailable

AGAIN_SECONDS = 5.0  # from one attempt to the next: a Milvus that hangs is waited for as long as opening may take


class LateIndex(Index):
    """Each search opens the index first, where nobody does at this moment and the last attempt is some seconds old.

    Args:
        available: `[items]` bool, as the index has them.
        make: opens it.
        clock: monotonic seconds; an attempt has just failed.
    """

    remote = True

    def __init__(
        self, available: np.ndarray, make: Callable[[], Index], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(available)
        self._make, self._clock = make, clock
        self._again = clock() + AGAIN_SECONDS
        self._opening, self._changing = threading.Lock(), threading.Lock()
        self._index: Index | None = None
        self._closed = False

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        available_only: bool = True,
        timeout: float | None = None,
        allowed: Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`."""
        index = self._index or self._opened()
        return index.search(queries, k, exclude, available_only, timeout, allowed)

    def close(self) -> None:
        """Closes the index; one that is being opened is closed by who opens it."""
        with self._changing:
            self._closed, index, self._index = True, self._index, None
        if index:
            index.close()

    def _opened(self) -> Index:
        if self._closed:
            raise IndexUnavailable("an open index", "it is closed")
        if not self._opening.acquire(blocking=False):
            raise IndexUnavailable("an open index", "it is being opened")
        try:
            if self._index:
                return self._index
            if self._clock() < self._again:
                raise IndexUnavailable("an open index", "it could not be opened a moment ago")
            try:
                return self._taken(self._make())
            finally:
                self._again = self._clock() + AGAIN_SECONDS
        finally:
            self._opening.release()

    def _taken(self, made: Index) -> Index:
        with self._changing:
            if not self._closed:
                self._index = made
                return made
        made.close()
        raise IndexUnavailable("an open index", "it was closed meanwhile")
