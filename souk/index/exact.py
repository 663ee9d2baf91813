"""Exact search in process: the oracle of every other index, their fallback, and fast enough for small catalogues."""

from __future__ import annotations

import numpy as np

from souk.index.interface import Exclusions, Index, padded
from souk.metrics import top

BLOCK = 16_000_000  # scores held at once


class ExactIndex(Index):
    """One matrix product per block of queries. Ties are ordered by position.

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
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Index.search`. `timeout` is not looked at: nothing here can hang."""
        positions, best = padded(len(queries), k)
        step = max(1, BLOCK // max(1, len(self)))
        for start in range(0, len(queries), step):
            scores = np.asarray(queries[start : start + step], dtype=np.float32) @ self.vectors.T
            if available_only:
                scores[:, ~self.available] = -np.inf
            for row, line in enumerate(scores, start):
                if exclude is not None and len(exclude[row]):
                    line[np.fromiter(exclude[row], dtype=np.int64, count=len(exclude[row]))] = -np.inf
                chosen = top(line, k)
                positions[row, : len(chosen)] = chosen
                best[row, : len(chosen)] = line[chosen]
        return positions, best

    def close(self) -> None:
        """Nothing is held."""
