"""Peers whose history votes item by item: item-kNN, first-order transitions, sequential rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.quality.interactions import NEAR, NONE, Decay, Histories, Interactions
from benchmarks.quality.sparse import Weights
from souk.evaluation.queries import Query
from souk.metrics import Floats, Ints

PAIRS = 30_000_000  # at most so many count
TIE = 1e-6  # what popularity may add: it orders items that nothing votes for


class Voting:
    """Sums the weights of the items of a history, each with its recency.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        weights: from an item of the history to the one that it votes for.
        recency: of the history's events.
    """

    name = "voting"

    def __init__(self, past: Interactions, histories: Histories, weights: Weights, recency: Decay) -> None:
        self.weights = weights
        self._dense = weights.dense()
        self._histories = histories
        self._recency = recency
        popular = np.bincount(past.items, minlength=past.size)
        least = float(weights.values[weights.values > 0].min(initial=1.0))
        self._ties = (popular / max(1, popular.max(initial=0)) * TIE * least).astype(np.float32)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        votes = np.zeros_like(scores if self._dense is not None else scores[:0])
        for row, query in enumerate(queries):
            history = self._histories(query)
            weights = self._recency.of_history(history)
            kept = np.flatnonzero(weights > 0)
            if self._dense is None:
                scores[row] += self.weights.summed(history.items[kept], weights[kept])
            else:
                np.add.at(votes[row], history.items[kept], weights[kept].astype(np.float32))
        return scores if self._dense is None else scores + votes @ self._dense


class ItemKnn(Voting):
    """Cosine of implicit co-occurrence with shrinkage (Aiolli 2013), the history weighted by recency.

    Pairs are of distinct items of one user, whatever their order and distance.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        shrinkage: added to the denominator.
        popularity: the exponent of the voted item's count in the denominator, 0.5 for the cosine.
        recency: of the history's events.
        within: how pairs count by their distance in the user's history; none by default.
        age: how pairs count by the days from the later event to the start of the window; all the same by default.
    """

    name = "item_knn"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        shrinkage: float = 10.0,
        popularity: float = 0.5,
        recency: Decay = NONE,
        within: Decay = NONE,
        age: Decay = NONE,
    ) -> None:
        kept = _last_distinct(past)
        counts = np.bincount(past.items[kept], minlength=past.size)
        raw = Weights.gather(_pairs(past, kept, age, within, together=1.0, back=1.0), past.size)
        below = counts[raw.rows] ** (1 - popularity) * counts[raw.columns].astype(np.float64) ** popularity + shrinkage
        weights = replace(raw, values=(raw.values / below).astype(np.float32))
        super().__init__(past, histories, weights, recency)


class SequentialRules(Voting):
    """Sequential rules (Ludewig and Jannach 2018, section 3.1): an item votes for what followed it.

    A pair counts by its distance; every earlier item of the history votes, by its recency.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        distance: how a pair counts, by the distance of the second event from the first.
        recency: of the history's events.
        popularity: the exponent of the voted item's count that its votes are divided by.
        support: the exponent of the voting item's count that its votes are divided by.
        back: what share of its weight a pair counts in the other direction.
        together: what a pair of one moment counts, in both directions.
        age: how a pair counts by the days from its second event to the start of the window.
    """

    name = "sequential_rules"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        distance: Decay = NEAR,
        recency: Decay = NEAR,
        popularity: float = 0.0,
        support: float = 0.0,
        back: float = 0.0,
        together: float = 1.0,
        age: Decay = NONE,
    ) -> None:
        counts = np.maximum(1, np.bincount(past.items, minlength=past.size)).astype(np.float64)
        pairs = _pairs(past, np.arange(len(past.items)), age, distance, together, back)
        raw = Weights.gather(pairs, past.size)
        below = counts[raw.columns] ** popularity * counts[raw.rows] ** support
        super().__init__(past, histories, replace(raw, values=(raw.values / below).astype(np.float32)), recency)


def _last_distinct(past: Interactions) -> Ints:
    """The places of the events that have each item of a user once, at its last time."""
    keys = past.users * past.size + past.items
    _, from_end = np.unique(keys[::-1], return_index=True)
    return np.sort(len(keys) - 1 - from_end)


def _pairs(
    past: Interactions, events: Ints, age: Decay, distance: Decay, together: float, back: float
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """Pairs of events of one user, the nearest first, until there are PAIRS.

    Args:
        past: what was known at the start of the window.
        events: places in `past` of those that make pairs, ascending.
        age: what a pair counts, by the later event's age at the start of the window.
        distance: what a pair counts, from the earlier event to the later one.
        together: what a pair of one moment counts, in both directions.
        back: what share of its weight a pair counts from the later event to the earlier one.
    """
    users, items, moments, fresh = (
        column[events] for column in (past.users, past.items, past.moments, past.weights(age))
    )
    found = 0
    for lag in range(1, len(users)):
        earlier = np.flatnonzero(users[lag:] == users[:-lag])
        found += len(earlier)
        if not len(earlier) or found > PAIRS:
            return
        apart = moments[earlier + lag] - moments[earlier]
        far = np.maximum(1, apart) if distance.unit == "moments" else np.full(len(earlier), lag)
        weights = np.where(apart > 0, distance(far), together)
        if distance.longest and far.min() > distance.longest and apart.min() > 0:
            return
        weights = weights * fresh[earlier + lag]
        kept = (weights > 0) & (items[earlier] != items[earlier + lag])
        earlier, weights, apart = earlier[kept], weights[kept], apart[kept]
        before, after = items[earlier], items[earlier + lag]
        yield before, after, weights
        turned = np.where(apart > 0, back, 1.0) * weights
        if turned.any():
            yield after, before, turned
