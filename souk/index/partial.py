"""An index in process that looks at a part of the items, and searches exactly where that is quicker."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from souk.errors import SoukError
from souk.index.exact import ExactIndex
from souk.index.interface import Allowed, Exclusions, Index, padded

Found = tuple[np.ndarray, np.ndarray]  # positions and scores, best first


class PartialIndex(Index):
    """FAISS over vectors that are here too: what it does not find, or finds too late, exact search does.

    Args:
        built: of FAISS, by `build` or `read`.
        vectors: `[items, dim]` float32, those that it was built of.
        available: `[items]` bool; everything where None.
        always: whether FAISS answers also where exact search is quicker.
    """

    def __init__(
        self, built: faiss.Index, vectors: np.ndarray, available: np.ndarray | None = None, always: bool = False
    ) -> None:
        self.exact = ExactIndex(vectors, available)
        super().__init__(self.exact.available)
        if not self._fits(built, len(self)) or built.d != vectors.shape[1]:
            received = f"{built.ntotal:,} × {built.d}"
            raise SoukError(f"an index of {len(self):,} × {vectors.shape[1]} vectors", received, "Do not mix releases.")
        self._built = built
        self._always = always

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
        positions, scores = padded(len(queries), k)
        left = []
        for row, query in enumerate(np.asarray(queries, np.float32)):
            mask = self.mask(row, exclude, available_only, allowed)
            found = self._of(query, k, mask)
            if found is None:
                left.append((row, mask))
            else:
                positions[row, : len(found[0])], scores[row, : len(found[0])] = found
        if left:
            rows = [row for row, _ in left]
            own = self.exact.search(np.asarray(queries)[rows], k, None, False, None, [mask for _, mask in left])
            positions[rows], scores[rows] = own
        return positions, scores

    def _of(self, query: np.ndarray, k: int, mask: np.ndarray) -> Found | None:
        """The answer of FAISS to one query; None where exact search is quicker, or this one is not to be trusted."""
        count = int(np.count_nonzero(mask))
        wanted = min(k, count)
        if not wanted:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        bits = np.packbits(mask, bitorder="little")  # the selector points into it
        selector = None if count == len(self) else faiss.IDSelectorBitmap(bits)
        found = self._found(query, wanted, mask, selector)
        if found is None or len(found) < wanted:
            return None
        positions = np.sort(found)
        scores = self.exact.vectors[positions] @ query
        order = np.argsort(-scores, kind="stable")[:wanted]
        return positions[order], scores[order]

    @staticmethod
    def _fits(built: faiss.Index, count: int) -> bool:
        """Whether it may be of so many items."""
        return bool(built.ntotal == count)

    @abstractmethod
    def _found(self, query: np.ndarray, wanted: int, mask: np.ndarray, selector: Any) -> np.ndarray | None:
        """Positions of the best `wanted` of `mask`, in any order, or a few more; None to leave it to exact search."""

    def _asked(self, query: np.ndarray, count: int, parameters: faiss.SearchParameters) -> np.ndarray:
        """Positions of at most so many items, as FAISS finds them."""
        found = self._built.search(query[None], count, params=parameters)[1][0]
        return np.asarray(found[found >= 0])

    def close(self) -> None:
        """Nothing is held."""


def write(built: faiss.Index, path: str | Path) -> None:
    """Writes what `build` gave, and its vectors."""
    faiss.write_index(built, str(path))


def read(path: str | Path) -> faiss.Index:
    """What `write` wrote. FAISS trusts what it reads: check the file first (`souk.release.manifest.verify`).

    Raises:
        SoukError: it is no such file.
    """
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise SoukError(f"an index of FAISS at {path}", str(error)[:200], "Load the index again.") from error
