"""Search in the index of record, and in process where that fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from souk.index.delta import DeltaIndex
from souk.index.exact import ExactIndex
from souk.index.interface import Exclusions, Index, padded

logger = logging.getLogger(__name__)
SHARED_EXCLUSIONS = 200  # Milvus answers queries with more of them one by one (souk.index.milvus.OVERFETCH)


class Retrieval:
    """An index with a fallback. One that failed is left alone for a while, so that not every request waits for it.

    Queries with many exclusions are never its: each would be a call of its own, and one body could hold many.

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

    def with_items(self, vectors: np.ndarray, available: np.ndarray, replaced: np.ndarray) -> Retrieval:
        """Over a catalogue of which some items were replaced or added since the index was built.

        Args:
            vectors: `[items, dim]` float32, of all.
            available: `[items]` bool.
            replaced: positions of those that are not as they were.
        """
        base = self.index
        if isinstance(base, DeltaIndex):
            replaced = np.concatenate([base.replaced, replaced])
            base = base.base
        delta = None if base is None else DeltaIndex(base, vectors, available, replaced)
        other = Retrieval(delta, ExactIndex(vectors, available), self._clock, self._retry_seconds)
        other._retry_at = self._retry_at
        return other

    def search(self, vectors: np.ndarray, k: int, exclude: Exclusions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best `k` eligible items of each query.

        Args:
            vectors: `[B, dim]` float32.
            k: how many.
            exclude: positions to leave out, for each query.

        Returns:
            positions `[B, k]` (-1 where there is none), scores `[B, k]`, and `[B]` bool: False where the index of
            record should have answered and did not.
        """
        shared = np.array([self.index is not None and len(e) <= SHARED_EXCLUSIONS for e in exclude], bool)
        positions, scores = padded(len(vectors), k)
        healthy = np.ones(len(vectors), bool)
        for rows, search in ((np.flatnonzero(shared), self._recorded), (np.flatnonzero(~shared), self._in_process)):
            if len(rows):
                positions[rows], scores[rows], healthy[rows] = search(
                    vectors[rows], k, [exclude[row] for row in rows.tolist()]
                )
        return positions, scores, healthy

    def _recorded(self, vectors: np.ndarray, k: int, exclude: Exclusions) -> tuple[np.ndarray, np.ndarray, bool]:
        """The answer of the index of record, or the exact one and False."""
        if self.index is not None and self._clock() >= self._retry_at:
            try:
                return *self.index.search(vectors, k, exclude), True
            except Exception as error:  # whatever a client library raises, the exact index answers
                self._retry_at = self._clock() + self._retry_seconds
                logger.warning("index unavailable: %s: %s", type(error).__name__, error)
        return *self.exact.search(vectors, k, exclude), False

    def _in_process(self, vectors: np.ndarray, k: int, exclude: Exclusions) -> tuple[np.ndarray, np.ndarray, bool]:
        return *self.exact.search(vectors, k, exclude), True
