"""Search in the index of record, and in process where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import Index

logger = logging.getLogger(__name__)


class Retrieval:
    """An index with a fallback. One that failed is left alone for a while, so that not every request waits for it.

    Args:
        index: the index of record, or None to search in process always.
        exact: the same vectors in process.
        clock: monotonic seconds.
        retry_seconds: how long a failed index is left alone.
    """

    def __init__(
        self, index: Index | None, exact: ExactIndex, clock: Callable[[], float], retry_seconds: float = 5.0
    ) -> None:
        self.index = index
        self.exact = exact
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._retry_at = 0.0

    def search(
        self, vectors: np.ndarray, k: int, exclude: Sequence[Collection[int]]
    ) -> tuple[np.ndarray, np.ndarray, bool]:
        """The best `k` eligible items of each query.

        Args:
            vectors: `[B, dim]` float32.
            k: how many.
            exclude: positions to leave out, for each query.

        Returns:
            positions `[B, k]` (-1 where there is none), scores `[B, k]`, and whether the index of record answered.
        """
        if self.index is not None and self._clock() >= self._retry_at:
            try:
                return *self.index.search(vectors, k, exclude), True
            except Exception as error:  # whatever a client library raises, the exact index answers
                self._retry_at = self._clock() + self._retry_seconds
                logger.warning("index unavailable: %s: %s", type(error).__name__, error)
        return *self.exact.search(vectors, k, exclude), self.index is None
