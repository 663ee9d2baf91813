"""Search in an index, and by exact search where that fails."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection

import numpy as np

from souk.index.delta import DeltaIndex
from souk.index.exact import ExactIndex
from souk.index.interface import Allowed, Exclusions, Index, padded
from souk.serving.dependency import Dependency
from souk.serving.seldom import Seldom

seldom = Seldom(logging.getLogger(__name__))
ASKED = 32  # query vectors that are kept
NOISE = 1e-6  # by which numbers of a vector differ that the item tower computes again, in other company
SHARED_EXCLUSIONS = 200  # Milvus answers queries with more of them one by one (souk.index.milvus.OVERFETCH)


class Retrieval:
    """An index with a fallback.

    Where it is not in this process, queries with many exclusions, or with a mask that leaves out many available items,
    are never its: each would be a call of its own, and one body could hold many.

    Args:
        index: the index, or None for exact search always.
        exact: the same vectors in process.
        guard: stands before an index outside this process, so that nobody waits for one that is down.
        built: `[items, dim]` float32, those that the index was built of; None for those of `exact`.
    """

    def __init__(
        self, index: Index | None, exact: ExactIndex, guard: Dependency, built: np.ndarray | None = None
    ) -> None:
        self.index = index
        self.exact = exact
        self._guard = guard
        self._built = exact.vectors if built is None else built
        self.asked: deque[np.ndarray] = deque(maxlen=ASKED)  # the last query vectors, for souk.serving.recall_probe

    @property
    def beside(self) -> int:
        """How many items came, changed or went since the index was built, and are searched beside it."""
        return len(self.index.replaced) if isinstance(self.index, DeltaIndex) else 0

    def with_items(self, vectors: np.ndarray, available: np.ndarray, replaced: np.ndarray) -> Retrieval:
        """Over a catalogue of which some items were replaced or added since the index was built.

        Those that the index knows as they are stay its own: a feed of prices or of whole rows is no change to it.

        Args:
            vectors: `[items, dim]` float32, of all.
            available: `[items]` bool.
            replaced: positions of those that were sent.
        """
        exact = ExactIndex(vectors, available)
        if self.index is None:
            return Retrieval(None, exact, self._guard, self._built)
        if isinstance(self.index, DeltaIndex):
            base, before = self.index.base, np.setdiff1d(self.index.replaced, replaced)
        else:
            base, before = self.index, np.zeros(0, np.int64)
        own = replaced[self._differ(base, vectors, available, replaced)]
        delta = DeltaIndex(base, vectors, available, np.concatenate([before, own])) if len(before) + len(own) else base
        return Retrieval(delta, exact, self._guard, self._built)

    def _differ(self, base: Index, vectors: np.ndarray, available: np.ndarray, sent: np.ndarray) -> np.ndarray:
        """`[sent]` bool: which items an index does not know, or knows otherwise."""
        differ = sent >= len(base)
        known = sent[~differ]
        moved = np.abs(vectors[known] - self._built[known]).max(axis=1, initial=0.0) > NOISE
        differ[~differ] = moved | (available[known] != base.available[known])
        return differ

    def search(
        self,
        vectors: np.ndarray,
        k: int,
        exclude: Exclusions,
        seconds: float = math.inf,
        allowed: Allowed | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The best `k` eligible items of each query.

        Args:
            vectors: `[B, dim]` float32.
            k: how many.
            exclude: positions to leave out, for each query.
            seconds: how long an index outside this process may take.
            allowed: for each query `[items]` bool, the only items that may appear, or None for all.

        Returns:
            positions `[B, k]` (-1 where there is none), scores `[B, k]`, and `[B]` bool: False where the index
            should have answered and did not.
        """
        self.asked.append(vectors[-1])
        masks = allowed or [None] * len(vectors)
        out, own = self._narrowed(exclude, masks)  # for the index alone: the exact one has other items as available
        shared = np.array([self._its(e, mask) for e, mask in zip(out, own, strict=True)], bool)
        positions, scores = padded(len(vectors), k)
        healthy = np.ones(len(vectors), bool)
        for rows, asked in ((np.flatnonzero(shared), True), (np.flatnonzero(~shared), False)):
            if len(rows):
                of = rows.tolist()
                its = vectors[rows], k, [out[row] for row in of], [own[row] for row in of]
                found = self._indexed(*its, seconds) if asked else None
                positions[rows], scores[rows] = found or self.exact.search(
                    vectors[rows], k, [exclude[row] for row in of], allowed=[masks[row] for row in of]
                )
                healthy[rows] = not asked or found is not None
        return positions, scores, healthy

    def _narrowed(self, exclude: Exclusions, masks: Allowed) -> tuple[Exclusions, Allowed]:
        """For an index outside this process, masks that leave out few items as exclusions: those that just ended.

        One that lets something through that the index has as unavailable, since it had ended when it was built, stays.
        """
        if self.index is None or not self.index.remote:
            return exclude, masks
        known, more = self.index.available, self.exact.available & ~self.index.available
        if more.any():  # without a mask all are there, these too
            everything = np.ones(len(more), bool)
            masks = [everything if mask is None else mask for mask in masks]
        out = dict[int, list[int] | None]()
        for mask in masks:
            if mask is not None and id(mask) not in out:
                left = np.flatnonzero(known & ~mask)
                few = len(left) <= SHARED_EXCLUSIONS and not (mask & more).any()
                out[id(mask)] = left.tolist() if few else None
        own = [None if mask is None else out[id(mask)] for mask in masks]
        return (
            [e if left is None else [*e, *left] for e, left in zip(exclude, own, strict=True)],
            [mask if left is None else None for mask, left in zip(masks, own, strict=True)],
        )

    def _its(self, exclude: Collection[int], mask: np.ndarray | None) -> bool:
        """Whether a query is the index's to answer."""
        if self.index is None or not self.index.remote:
            return self.index is not None
        return mask is None and len(exclude) <= SHARED_EXCLUSIONS

    def _indexed(
        self, vectors: np.ndarray, k: int, exclude: Exclusions, allowed: Allowed, seconds: float
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """The answer of the index, or None."""
        index = self.index
        if index is None:
            return None
        try:
            wait = seconds if index.remote else math.inf
            return self._guard.call(lambda: index.search(vectors, k, exclude, allowed=allowed), wait)
        except Exception as error:  # whatever a client library raises, the exact index answers
            seldom.warning("index unavailable: %s: %s", type(error).__name__, error)
            return None
