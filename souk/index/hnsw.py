"""HNSW search in process, by FAISS: a walk through a graph for most queries, exact search where that is quicker."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np

from souk.errors import SoukError
from souk.index.exact import SPARSE, ExactIndex
from souk.index.interface import Allowed, Exclusions, Index, padded

NEIGHBOURS = 16  # links of an item; twice as many in the lowest layer
BUILD_WIDTH = 100  # candidates for the links of a new item
WIDTH = 4  # candidates of a walk for each item that is wanted
LEAST = 800  # and at least so many: with both, recall@100 and @500 are .98 at a million items
STEP = 150  # items that exact search goes through in the time of one candidate of a walk


class HnswIndex(Index):
    """Hierarchical navigable small worlds (Malkov and Yashunin 2018).

    A walk goes through all items, and counts those only that may appear: where one of f may, it has to see f times as
    many. Where exact search goes through what may appear in less time, or a walk comes back with too few, it answers.

    Args:
        graph: by `build` or `read`.
        vectors: `[items, dim]` float32, those of the graph.
        available: `[items]` bool; everything where None.
        step: how many items exact search goes through in the time of one candidate of a walk; 0 always walks.
        least: candidates of a walk, however few are wanted.
    """

    def __init__(
        self,
        graph: faiss.IndexHNSWFlat,
        vectors: np.ndarray,
        available: np.ndarray | None = None,
        step: int = STEP,
        least: int = LEAST,
    ) -> None:
        self.exact = ExactIndex(vectors, available)
        super().__init__(self.exact.available)
        if (graph.ntotal, graph.d) != vectors.shape:
            received = f"{graph.ntotal:,} × {graph.d}"
            raise SoukError(f"a graph of {len(self):,} × {vectors.shape[1]} vectors", received, "Do not mix releases.")
        self._graph = graph
        self._step = step
        self._least = least

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
            found = self._walk(query, k, mask)
            if found is None:
                left.append((row, mask))
            else:
                positions[row, : len(found[0])], scores[row, : len(found[0])] = found
        if left:
            rows = [row for row, _ in left]
            own = self.exact.search(np.asarray(queries)[rows], k, None, False, None, [mask for _, mask in left])
            positions[rows], scores[rows] = own
        return positions, scores

    def _walk(self, query: np.ndarray, k: int, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The answer of the graph to one query; None where exact search is quicker, or this one came back short."""
        count = int(np.count_nonzero(mask))
        wanted = min(k, count)
        if not wanted:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        width = max(self._least, WIDTH * wanted) * len(self) // count
        if width * self._step > min(SPARSE * count, len(self)):
            return None
        bits = np.packbits(mask, bitorder="little")  # the selector points into it
        selector = None if count == len(self) else faiss.IDSelectorBitmap(bits)
        walk = faiss.SearchParametersHNSW(efSearch=width, sel=selector)
        scores, found = self._graph.search(query[None], wanted, params=walk)
        if found[0, -1] < 0:
            return None
        order = np.lexsort((found[0], -scores[0]))
        return found[0, order], scores[0, order]

    def close(self) -> None:
        """Nothing is held."""


def build(vectors: np.ndarray) -> faiss.IndexHNSWFlat:
    """The graph of `vectors` `[items, dim]` float32, by all cores: not the same one in each call."""
    graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD_WIDTH
    graph.add(np.ascontiguousarray(vectors, np.float32))
    return graph


def write(graph: faiss.IndexHNSWFlat, path: str | Path) -> None:
    """Writes a graph and its vectors."""
    faiss.write_index(graph, str(path))


def read(path: str | Path) -> faiss.IndexHNSWFlat:
    """A graph from disk. FAISS trusts what it reads: check the file first (`souk.release.manifest.verify`).

    Raises:
        SoukError: it is no such file.
    """
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise SoukError(f"a graph of FAISS at {path}", str(error)[:200], "Load the index again.") from error
