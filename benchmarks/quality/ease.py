"""EASE, a linear autoencoder with a closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.quality.interactions import NONE, Decay, Histories, Interactions
from souk.evaluation.queries import Query
from souk.metrics import Floats
from souk.schema import DAY_MS

MOST = 12_500  # items: the inverse of a larger matrix takes too long
ROWS = 1000  # users in one dense block
TIE = 1e-6  # what popularity may add


class Ease:
    """EASE (Steck 2019, equation 8): B = I - P diag(1 / diag P) with P = (X'X + l2 I)^-1.

    With recency, a query's history is weighted by it; with `fading` and `age`, so are the rows of X.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        l2: the regularisation.
        recency: of the history's events.
        fading: of the events of a row of X, back from the user's last.
        age: of the events of X, back from the start of the window.
        most: the most popular items that take part; the rest keep their popularity.
    """

    name = "ease"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        l2: float = 100.0,
        recency: Decay = NONE,
        fading: Decay = NONE,
        age: Decay = NONE,
        most: int = MOST,
    ) -> None:
        self._histories = histories
        self._recency = recency
        counts = np.bincount(past.items, minlength=past.size)
        self._items = np.sort(np.argsort(-counts, kind="stable")[:most])
        self._place = np.full(past.size, -1, np.int64)
        self._place[self._items] = np.arange(len(self._items))
        self._weights = _weights(past, self._place, len(self._items), l2, fading, age)
        self._ties = (counts / max(1, counts.max(initial=0)) * TIE).astype(np.float32)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            history = self._histories(query)
            places, weights = self._place[history.items], self._recency.of_history(history)
            kept = (places >= 0) & (weights > 0)
            items, owner = np.unique(places[kept], return_inverse=True)
            summed = np.bincount(owner, weights[kept], minlength=len(items)).astype(np.float32)
            scores[row, self._items] += summed @ self._weights[items]
        return scores


def _weights(past: Interactions, place: np.ndarray, count: int, l2: float, fading: Decay, age: Decay) -> Floats:
    """B, `[count, count] float32`, in place to spare memory."""
    fresh = past.weights(age).astype(np.float32)
    gram = np.zeros((count, count), np.float32)
    starts = np.searchsorted(past.users, np.arange(len(past.names) + 1))
    for first in range(0, len(past.names), ROWS):
        begin, end = starts[first], starts[min(first + ROWS, len(past.names))]
        kept = place[past.items[begin:end]] >= 0
        rows = np.zeros((min(ROWS, len(past.names) - first), count), np.float32)
        weights = _fades(past, begin, end, fading) * fresh[begin:end]
        np.maximum.at(rows, (past.users[begin:end][kept] - first, place[past.items[begin:end]][kept]), weights[kept])
        gram += rows.T @ rows
    gram[np.diag_indices(count)] += l2
    inverse = np.linalg.inv(gram)
    inverse /= -np.diag(inverse)
    inverse[np.diag_indices(count)] = 0.0
    return inverse


def _fades(past: Interactions, begin: int, end: int, fading: Decay) -> Floats:
    """The weight of each event by its distance to the user's last one."""
    users = past.users[begin:end]
    last = np.searchsorted(users, users, side="right") - 1
    if fading.unit == "days":
        times = past.times[begin:end]
        return fading(1 + (times[last] - times) / DAY_MS).astype(np.float32)
    numbers = np.arange(end - begin) if fading.unit == "events" else past.moments[begin:end]
    return fading(1 + numbers[last] - numbers).astype(np.float32)
