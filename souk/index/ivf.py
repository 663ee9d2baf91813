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
SPARE = 16  # more items asked for than wanted
NEARLY_ALL = 0.98  # share of the items from which on a search is of all
OUTSIDE = 0.01  # share of the items that may be in no list, as what is sold again, and are scored beside them
MOVED = 0.03  # share of what is wanted that twice the lists may change, where a filter leaves a part
EACH = 1.3  # the time for an item of a list, where exact search takes 1


class IvfIndex(PartialIndex):
    """Inverted lists (Jégou, Douze and Schmid 2011, without their quantizer; the vectors in 16 bits) of what was
    available.

    How many lists are read was measured at the building, on these vectors. Where few may not appear that is enough.
    Where a filter leaves the share f, the root of 1/f times as many are read, and then twice as many: a filter by
    content may leave what lies far from the query, and what is new in the second reading tells whether it does. What
    came back since is scored beside them. The scores are of the whole vectors.
    """

    def __init__(
        self, built: Any, vectors: np.ndarray, available: np.ndarray | None = None, always: bool = False
    ) -> None:
        super().__init__(built, vectors, available, always)
        self._listed = np.zeros(len(self), bool)
        self._listed[_ids(built)] = True

    @staticmethod
    def _fits(built: faiss.Index, count: int) -> bool:
        return bool(_ids(built).max(initial=-1) < count)

    def _found(self, query: np.ndarray, wanted: int, mask: np.ndarray, selector: Any) -> np.ndarray | None:
        count, outside = int(np.count_nonzero(mask & self._listed)), np.flatnonzero(mask & ~self._listed)
        if not count or len(outside) > OUTSIDE * len(self):  # of another time, or as good as all came back
            return None
        share = count / self._built.ntotal
        whole = share >= NEARLY_ALL
        lists = math.ceil(self._built.nprobe / math.sqrt(share))
        read = EACH * lists / self._built.nlist * self._built.ntotal
        exact = min(SPARSE * np.count_nonzero(mask), len(self))
        if not self._always and (1 if whole else 3) * read > exact:
            return None
        found = self._of_lists(query, wanted, lists, selector)
        if not whole:
            wide = self._of_lists(query, wanted, 2 * lists, selector)
            if len(np.setdiff1d(wide[:wanted], found)) > MOVED * wanted:
                return None
            found = wide
        return np.concatenate([found, outside])

    def _of_lists(self, query: np.ndarray, wanted: int, lists: int, selector: Any) -> np.ndarray:
        """The best of so many lists; some more than are wanted, since the scores of 16 bits have an error."""
        parameters = faiss.SearchParametersIVF(nprobe=min(lists, self._built.nlist), sel=selector)
        return self._asked(query, wanted + SPARE, parameters)


def _ids(built: faiss.IndexIVFScalarQuantizer) -> np.ndarray:
    """Of all that is in the lists."""
    sizes = [(number, built.invlists.list_size(number)) for number in range(built.nlist)]
    ids = [faiss.rev_swig_ptr(built.invlists.get_ids(number), size) for number, size in sizes if size]
    return np.concatenate([np.zeros(0, np.int64), *ids])


class _Alone(IvfIndex):
    """Without exact search behind it: what comes back short has found nothing."""

    def search(self, queries: np.ndarray, k: int, *_: Any, **__: Any) -> Found:
        positions, scores = padded(len(queries), k)
        for row, query in enumerate(queries):
            if found := self._of(query, k, self.available):
                positions[row, : len(found[0])], scores[row, : len(found[0])] = found
        return positions, scores


def build(vectors: np.ndarray, available: np.ndarray | None = None) -> faiss.IndexIVFScalarQuantizer:
    """The lists of the `available` of `vectors` `[items, dim]` float32, and how many a search reads, as `nprobe`."""
    where = np.arange(len(vectors)) if available is None else np.flatnonzero(available)
    own = np.ascontiguousarray(vectors[where], np.float32)
    count = max(1, min(len(own), 2 ** round(math.log2(LISTS * math.sqrt(max(1, len(own)))))))
    centroids = faiss.IndexFlatIP(vectors.shape[1])
    half = faiss.ScalarQuantizer.QT_fp16
    lists = faiss.IndexIVFScalarQuantizer(centroids, vectors.shape[1], count, half, faiss.METRIC_INNER_PRODUCT, False)
    lists.own_fields = True  # the centroids are the lists' from here on
    centroids.this.disown()
    if not len(own):
        return lists
    lists.cp.min_points_per_centroid, lists.cp.max_points_per_centroid = 1, TRAINED
    lists.train(own)
    lists.add_with_ids(own, where)
    widths = sorted({*(math.ceil(STEP**n) for n in range(int(math.log(count, STEP)) + 1)), count})
    there = np.zeros(len(vectors), bool)
    there[where] = True
    alone, exact, queries = (
        _Alone(lists, vectors, there, always=True),
        ExactIndex(vectors, there),
        sample_queries(vectors),
    )

    def enough(width: int) -> bool:
        lists.nprobe = width
        return recall_at(alone, exact, queries[::FEWER], min(BAR_AT, len(own))) >= BAR

    lists.nprobe = widths[bisect.bisect_left(widths[:-1], True, key=enough)]  # all of them are always enough
    return lists
