"""IVF search in process, by FAISS: the lists of the centroids nearest to a query, of half-precision vectors."""

from __future__ import annotations

import bisect
import math
from typing import Any

import faiss
import numpy as np

from souk.index.exact import SPARSE, ExactIndex
from souk.index.interface import padded
from souk.index.partial import Found, PartialIndex
from souk.index.recall import recall_at, sample_queries

LISTS = 2.0  # lists, times the root of the items
TRAINED = 64  # vectors of a list that its centroid is learned from
BAR, BAR_AT = 0.99, 500  # as many lists are read as find this share of the best so many
FEWER = 4  # of the sample queries one in so many: the step that builds measures by all of them
STEP = 1.25  # from one number of lists that is tried to the next
EACH = 1.3  # the time for an item of a list, where exact search takes 1


class IvfIndex(PartialIndex):
    """Inverted lists (Jégou, Douze and Schmid 2011, without their quantizer; the vectors in 16 bits).

    How many lists are read was measured at the building, on these vectors. Where one of f items may appear, the root of
    f times as many are, which finds as much. The scores are of the whole vectors.
    """

    spare = 16

    def _parameters(self, wanted: int, count: int, selector: Any) -> faiss.SearchParametersIVF | None:
        lists = min(self._built.nlist, math.ceil(self._built.nprobe * math.sqrt(len(self) / count)))
        read = EACH * lists / self._built.nlist * len(self)
        if not self._always and read > min(SPARSE * count, len(self)):
            return None
        return faiss.SearchParametersIVF(nprobe=lists, sel=selector)


class _Alone(IvfIndex):
    """Without exact search behind it: what comes back short has found nothing."""

    def search(self, queries: np.ndarray, k: int, *_: Any, **__: Any) -> Found:
        positions, scores = padded(len(queries), k)
        everything = np.ones(len(self), bool)
        for row, query in enumerate(queries):
            if found := self._of(query, k, everything):
                positions[row], scores[row] = found
        return positions, scores


def build(vectors: np.ndarray) -> faiss.IndexIVFScalarQuantizer:
    """The lists of `vectors` `[items, dim]` float32, and how many of them a search reads, as `nprobe`."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    count = min(len(vectors), 2 ** round(math.log2(LISTS * math.sqrt(len(vectors)))))
    centroids = faiss.IndexFlatIP(vectors.shape[1])
    half = faiss.ScalarQuantizer.QT_fp16
    lists = faiss.IndexIVFScalarQuantizer(centroids, vectors.shape[1], count, half, faiss.METRIC_INNER_PRODUCT, False)
    lists.own_fields = True  # the centroids are the lists' from here on
    centroids.this.disown()
    lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, TRAINED
    lists.train(vectors)
    lists.add(vectors)
    widths = sorted({*(math.ceil(STEP**n) for n in range(int(math.log(count, STEP)) + 1)), count})
    alone, exact, queries = _Alone(lists, vectors, always=True), ExactIndex(vectors), sample_queries(vectors)[::FEWER]

    def enough(width: int) -> bool:
        lists.nprobe = width
        return recall_at(alone, exact, queries, min(BAR_AT, len(vectors))) >= BAR

    lists.nprobe = widths[bisect.bisect_left(widths[:-1], True, key=enough)]  # all of them are always enough
    return lists
