"""Exact search in process: the oracle of every other index, their fallback, and fast enough for small catalogues."""

from __future__ import annotations

import numpy as np

from souk.index.interface import Allowed, Exclusions, Index, padded
from souk.metrics import top

BLOCK = 16_000_000  # scores held at once
FEW = 16  # queries whose vectors stand on the right of a product
SPARSE = 8  # where fewer than one item in so many may appear, only their vectors are read


class ExactIndex(Index):
    """One matrix product per block of queries, or the products of the few that may appear. Ties come by position.

    Args:
        vectors: `[items, dim]` float32; may be memory-mapped.
        available: `[items]` bool; everything where None.
    """

    def __init__(self, vectors: np.ndarray, available: np.ndarray | None = None) -> None:
        super().__init__(np.ones(len(vectors), dtype=bool) if available is None else available)
        self.vectors = vectors

    def search(
        self,
        queries: np.ndarray,
        k: int,
        exclude: Exclusions | None = None,
        available_only: bool = True,
        timeout: float | None = None,
        allowed: Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`. `timeout` is not looked at: nothing here can hang."""
        positions, best = padded(len(queries), k)
        queries = np.asarray(queries, dtype=np.float32)
        step = max(1, BLOCK // max(1, len(self)))
        for start in range(0, len(queries), step):
            rows = range(start, min(start + step, len(queries)))
            masks = {row: self.mask(row, exclude, available_only, allowed) for row in rows}
            dense = [row for row, mask in masks.items() if SPARSE * np.count_nonzero(mask) >= len(self)]
            lines = dict(zip(dense, self._products(queries[dense]), strict=True))
            for row, mask in masks.items():
                found, scores = self.best(queries[row], k, mask, lines.get(row))
                positions[row, : len(found)], best[row, : len(found)] = found, scores
        return positions, best

    def _products(self, queries: np.ndarray) -> np.ndarray:
        """`[queries, items]`. OpenBLAS with AVX-512 takes a few queries in 30 to 60% of the time where they are on the
        right; with other kernels it is the same to it."""
        if len(queries) > FEW:
            return np.asarray(queries @ self.vectors.T)
        return np.ascontiguousarray((self.vectors @ queries.T).T)

    def best(
        self, query: np.ndarray, k: int, mask: np.ndarray, line: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The answer to one query, without padding.

        Args:
            query: `[dim]` float32.
            k: how many.
            mask: `[items]` bool, who may appear.
            line: `[items]` float32, the scores of all, to be overwritten; only the few of `mask` are computed without.
        """
        if line is not None:
            np.copyto(line, -np.inf, where=~mask)
            found = top(line, k)
            return found, line[found]
        few = np.flatnonzero(mask)
        scores = self.vectors[few] @ query
        found = top(scores, k)
        return few[found], scores[found]

    def close(self) -> None:
        """Nothing is held."""
