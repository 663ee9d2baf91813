"""HNSW search in process, by FAISS: a walk through a graph."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from souk.index.exact import SPARSE
from souk.index.partial import PartialIndex

NEIGHBOURS = 16  # links of an item; twice as many in the lowest layer
BUILD_WIDTH = 100  # candidates for the links of a new item
WIDTH = 4  # candidates of a walk for each item that is wanted
LEAST = 800  # and at least so many
STEP = 150  # items that exact search goes through in the time of one candidate of a walk


class HnswIndex(PartialIndex):
    """Hierarchical navigable small worlds (Malkov and Yashunin 2018).

    A walk goes through all items, and counts those only that may appear: where one of f may, it has to see f times as
    many. Items of one vector are linked to each other alone, and a walk stays among them: where many have one, as what
    was never taken and has the same content, it misses others.
    """

    def _found(self, query: np.ndarray, wanted: int, mask: np.ndarray, selector: Any) -> np.ndarray | None:
        count = int(np.count_nonzero(mask))
        width = max(LEAST, WIDTH * wanted) * len(self) // count
        if not self._always and width * STEP > min(SPARSE * count, len(self)):
            return None
        return self._asked(query, wanted, faiss.SearchParametersHNSW(efSearch=width, sel=selector))


def build(vectors: np.ndarray) -> faiss.IndexHNSWFlat:
    """The graph of `vectors` `[items, dim]` float32, by all cores: not the same one in each call."""
    graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = BUILD_WIDTH
    graph.add(np.ascontiguousarray(vectors, np.float32))
    return graph
