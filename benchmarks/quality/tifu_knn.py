"""TIFU-KNN, next-basket recommendation by personal frequency and that of similar users."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from benchmarks.quality.interactions import Histories, Interactions
from souk.evaluation.queries import Query
from souk.metrics import Floats, Ints


class TifuKnn:
    """TIFU-KNN (Hu et al. 2020, sections 4.1 to 4.3).

    A user's vector is the mean of those of groups of baskets, each the mean of its baskets, both with weights that fall
    by a factor per step into the past (equations 1 and 2). The prediction mixes it with the mean of the nearest
    users' vectors (equation 3). Baskets are the moments of a user; users are those of the start of the window, the
    query's own vector has its history up to the query.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        group: baskets in a group, `m` of the paper.
        within: the decay within a group, `r_b`.
        across: the decay across groups, `r_g`.
        neighbours: nearest users by Euclidean distance, `k`.
        own: the weight of the user's own vector, `alpha`.
    """

    name = "tifu_knn"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        group: int = 7,
        within: float = 0.9,
        across: float = 0.7,
        neighbours: int = 300,
        own: float = 0.7,
    ) -> None:
        self._histories = histories
        self._shape = (group, within, across)
        self._own = own
        starts = np.searchsorted(past.users, np.arange(len(past.names) + 1))
        vectors = [self._vector(past.items[a:b], past.times[a:b]) for a, b in pairwise(starts.tolist())]
        self._size = past.size
        self._names = past.names
        self._start = np.cumsum([0, *(len(items) for items, _ in vectors)])
        self._items = np.concatenate([*(items for items, _ in vectors), np.zeros(0, np.int64)])
        self._values = np.concatenate([*(values for _, values in vectors), np.zeros(0)]).astype(np.float32)
        self._norms = np.add.reduceat(np.append(self._values**2, 0), self._start[:-1]) if vectors else np.zeros(0)
        self._neighbours = min(neighbours, len(vectors))
        self._by_item = _turned(self._start, self._items, self._values, past.size)
        counts = np.bincount(past.items, minlength=past.size)
        self._ties = (counts / max(1, counts.max(initial=0)) * 1e-6).astype(np.float32)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            history = self._histories(query)
            items, values = self._vector(history.items, history.times)
            np.add.at(scores[row], items, (self._own * values).astype(np.float32))
            near = self._nearest(items, values, query.user_id)
            if len(near):
                share = np.float32((1 - self._own) / len(near))
                entries = np.concatenate([np.arange(self._start[user], self._start[user + 1]) for user in near])
                np.add.at(scores[row], self._items[entries], share * self._values[entries])
        return scores

    def _nearest(self, items: Ints, values: Floats, user: str) -> Ints:
        """The users whose vectors are nearest to this one, but for the user's own."""
        start, users, weights = self._by_item
        products = np.zeros(len(self._names))
        for item, value in zip(items, values, strict=True):
            own = slice(start[item], start[item + 1])
            products[users[own]] += value * weights[own]
        distances = self._norms - 2 * products
        place = int(np.searchsorted(self._names, user)) if self._names else 0
        if place < len(self._names) and self._names[place] == user:
            distances[place] = np.inf
        kept = min(self._neighbours, int(np.isfinite(distances).sum()))
        return np.argpartition(distances, kept - 1)[:kept] if kept else np.zeros(0, np.int64)

    def _vector(self, items: Ints, times: Ints) -> tuple[Ints, Floats]:
        """A user's distinct items and their weights."""
        group, within, across = self._shape
        if not len(items):
            return np.zeros(0, np.int64), np.zeros(0)
        basket = np.cumsum(np.append(False, times[1:] != times[:-1]))
        count = int(basket[-1]) + 1
        groups = -(-count // group)
        back = count - 1 - basket  # baskets back from the last: groups are full but for the first
        place, number = back % group, back // group
        sizes = np.where(number == groups - 1, count - group * (groups - 1), group)
        weights = within**place / sizes * across**number / groups
        distinct, owner = np.unique(items, return_inverse=True)
        once = np.unique(np.stack([basket, owner]), axis=1, return_index=True)[1]  # an item counts once a basket
        return distinct, np.bincount(owner[once], weights[once], minlength=len(distinct)).astype(np.float64)


def _turned(start: Ints, items: Ints, values: Floats, size: int) -> tuple[Ints, Ints, Floats]:
    """Users' vectors by item: where each item's users begin, the users, their values."""
    users = np.repeat(np.arange(len(start) - 1), np.diff(start))
    order = np.argsort(items, kind="stable")
    return np.searchsorted(items[order], np.arange(size + 1)), users[order], values[order]
