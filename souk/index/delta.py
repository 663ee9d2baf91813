"""An index of which a part was replaced since it was built: the rest is asked, the part is searched exactly."""

from __future__ import annotations

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import Allowed, Exclusions, Index, padded

SPARE = 200  # more items asked for than wanted, since some of them may have been replaced


class DeltaIndex(Index):
    """Items that came, changed or went after an index was built, on top of it.

    The index below stays what its name says: a collection is named by its content, shared by replicas, and sealed
    (decision 0003). What is new is a matrix in this process, replaced as a whole with everything else of a request.

    Args:
        base: over the items as they were.
        vectors: `[items, dim]` float32, of all items as they are: those of `base` first, then new ones.
        available: `[items]` bool, by the catalogue.
        replaced: positions that `base` does not know, or knows otherwise.
    """

    def __init__(self, base: Index, vectors: np.ndarray, available: np.ndarray, replaced: np.ndarray) -> None:
        super().__init__(np.array(available, dtype=bool))
        self.base = base
        self.remote = base.remote
        self.replaced = np.unique(np.asarray(replaced, np.int64))
        self._exact = ExactIndex(vectors, available)
        self._own = ExactIndex(vectors[self.replaced], self.available[self.replaced])
        self._stale = np.zeros(len(available), bool)
        self._stale[self.replaced] = True
        size = len(base)  # which may have fewer as available than the catalogue: what ended before it was built
        self.available[:size] &= base.available | self._stale[:size]

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
        size = len(self.base)
        spare = min(int(self._stale[:size].sum()), SPARE)
        below = [[p for p in e if p < size] for e in exclude] if exclude is not None else None
        inside = [None if mask is None else mask[:size] for mask in allowed] if allowed is not None else None
        old, old_scores = self.base.search(queries, k + spare, below, available_only, timeout, inside)
        masks = [self.mask(row, exclude, available_only, allowed) for row in range(len(queries))]
        own = [mask[self.replaced] for mask in masks]
        new, new_scores = self._own.search(queries, min(k, len(self.replaced)), available_only=False, allowed=own)
        positions, scores = padded(len(queries), k)
        for row, query in enumerate(np.asarray(queries, np.float32)):
            kept = (old[row] >= 0) & ~self._stale[old[row]]
            if kept.sum() < k and (old[row] >= 0).all():  # more of them were replaced than was spared for
                places, values = self._exact.search(query[None], k, available_only=False, allowed=[masks[row]])
                positions[row], scores[row] = places[0], values[0]
                continue
            found = new[row] >= 0
            places = np.concatenate([old[row][kept], self.replaced[new[row][found]]])
            values = np.concatenate([old_scores[row][kept], new_scores[row][found]])
            best = np.lexsort((places, -values))[:k]
            positions[row, : len(best)], scores[row, : len(best)] = places[best], values[best]
        return positions, scores

    def close(self) -> None:
        """Closes the index below."""
        self.base.close()
