"""An index of which a part was replaced since it was built: the rest is asked, the part is searched exactly."""

from __future__ import annotations

import numpy as np

from souk.index.interface import Exclusions, Index, padded

SPARE = 200  # more items asked for than wanted, since some of them may have been replaced


class DeltaIndex(Index):
    """Items that came, changed or went after an index was built, on top of it.

    The index below stays what its name says: a collection is named by its content, shared by replicas, and sealed
    (decision 0003). What is new is a matrix in this process, replaced as a whole with everything else of a request.

    Args:
        base: over the items as they were.
        vectors: `[items, dim]` float32, of all items as they are: those of `base` first, then new ones.
        available: `[items]` bool.
        replaced: positions that `base` does not know, or knows otherwise.
    """

    def __init__(self, base: Index, vectors: np.ndarray, available: np.ndarray, replaced: np.ndarray) -> None:
        super().__init__(available)
        self.base = base
        self.replaced = np.unique(np.asarray(replaced, np.int64))
        self._vectors = vectors
        self._own = vectors[self.replaced]
        self._stale = np.zeros(len(available), bool)
        self._stale[self.replaced] = True

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        available_only: bool = True,
        timeout: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`."""
        spare = min(int(self._stale[: len(self.base)].sum()), SPARE)
        below = [[p for p in e if p < len(self.base)] for e in exclude] if exclude is not None else None
        old, old_scores = self.base.search(queries, k + spare, below, available_only, timeout)
        positions, scores = padded(len(queries), k)
        for row, query in enumerate(np.asarray(queries, np.float32)):
            barred = set(exclude[row]) if exclude is not None else set()
            kept = (old[row] >= 0) & ~self._stale[old[row]]
            if kept.sum() < k and (old[row] >= 0).all():  # more of them were replaced than was spared for
                places, values = self._exact(query, np.arange(len(self)), barred, available_only)
            else:
                new, new_values = self._exact(query, self.replaced, barred, available_only)
                places = np.concatenate([old[row][kept], new])
                values = np.concatenate([old_scores[row][kept], new_values])
            best = np.lexsort((places, -values))[:k]
            positions[row, : len(best)], scores[row, : len(best)] = places[best], values[best]
        return positions, scores

    def _exact(
        self, query: np.ndarray, wanted: np.ndarray, barred: set[int], available_only: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Those of the `wanted` positions that may appear, and their scores."""
        kept = self.available[wanted] if available_only else np.ones(len(wanted), bool)
        if barred:
            kept = kept & ~np.isin(wanted, np.fromiter(barred, np.int64, len(barred)))
        own = self._own if len(wanted) == len(self.replaced) else self._vectors[wanted]
        return wanted[kept], (own[kept] @ query).astype(np.float32)

    def close(self) -> None:
        """Closes the index below."""
        self.base.close()
