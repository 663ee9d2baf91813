"""Search in the index of record, and in process where that fails."""

from __future__ import annotations

import logging
import math

import numpy as np

from souk.index.delta import DeltaIndex
from souk.index.exact import ExactIndex
from souk.index.interface import Exclusions, Index, padded
from souk.serving.dependency import Dependency

logger = logging.getLogger(__name__)
SHARED_EXCLUSIONS = 200  # Milvus answers queries with more of them one by one (souk.index.milvus.OVERFETCH)


class Retrieval:
    """An index with a fallback.

    Queries with many exclusions are never its: each would be a call of its own, and one body could hold many.

    Args:
        index: the index of record, or None to search in process always.
        exact: the same vectors in process.
        guard: stands before the index of record, so that nobody waits for one that is down.
    """

    def __init__(self, index: Index | None, exact: ExactIndex, guard: Dependency) -> None:
        self.index = index
        self.exact = exact
        self._guard = guard

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
        return Retrieval(delta, ExactIndex(vectors, available), self._guard)

    def search(
        self, vectors: np.ndarray, k: int, exclude: Exclusions, seconds: float = math.inf
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best `k` eligible items of each query.

        Args:
            vectors: `[B, dim]` float32.
            k: how many.
            exclude: positions to leave out, for each query.
            seconds: how long the index of record may take.

        Returns:
            positions `[B, k]` (-1 where there is none), scores `[B, k]`, and `[B]` bool: False where the index of
            record should have answered and did not.
        """
        shared = np.array([self.index is not None and len(e) <= SHARED_EXCLUSIONS for e in exclude], bool)
        positions, scores = padded(len(vectors), k)
        healthy = np.ones(len(vectors), bool)
        for rows, recorded in ((np.flatnonzero(shared), True), (np.flatnonzero(~shared), False)):
            if len(rows):
                asked = vectors[rows], k, [exclude[row] for row in rows.tolist()]
                found = self._recorded(*asked, seconds) if recorded else None
                positions[rows], scores[rows] = found or self.exact.search(*asked)
                healthy[rows] = not recorded or found is not None
        return positions, scores, healthy

    def _recorded(
        self, vectors: np.ndarray, k: int, exclude: Exclusions, seconds: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The answer of the index of record, or None."""
        index = self.index
        try:
            return None if index is None else self._guard.call(lambda: index.search(vectors, k, exclude), seconds)
        except Exception as error:  # whatever a client library raises, the exact index answers
            logger.warning("index unavailable: %s: %s", type(error).__name__, error)
            return None
