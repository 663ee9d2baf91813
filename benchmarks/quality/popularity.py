"""Peers that know no items of the user's beyond counting: popularity, and what the user took before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.quality.interactions import Histories, Interactions
from souk.evaluation.baselines import Scorer
from souk.evaluation.queries import Query
from souk.metrics import Floats

TIE = 1e-6


class RecentPopularity:
    """Engaging events before the window, halved in weight with each half-life.

    Args:
        past: what was known at the start of the window.
        histories: of the queries; not looked at.
        half_life: days; 0 counts all events the same.
    """

    name = "recent_popularity"

    def __init__(self, past: Interactions, histories: Histories, half_life: float = 30.0) -> None:
        self._scores = popularity(past, half_life).astype(np.float32)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        return np.tile(self._scores, (len(queries), 1))


class Popularity(RecentPopularity):
    """Engaging events before the window."""

    name = "popularity"

    def __init__(self, past: Interactions, histories: Histories) -> None:
        super().__init__(past, histories, half_life=0.0)


class Welcoming:
    """A peer that answers who has no history by what is popular lately: what others answer them says nothing of it.

    Args:
        peer: answers everyone else.
        newcomers: answers those.
    """

    def __init__(self, peer: Scorer, newcomers: Scorer) -> None:
        self.name = peer.name
        self._peer, self._newcomers = peer, newcomers

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.array(self._peer.score(queries), np.float32)
        new = [row for row, query in enumerate(queries) if not len(query.history)]
        if new:
            scores[new] = self._newcomers.score([queries[row] for row in new])
        return scores


class PersonalFrequency:
    """How often the user engaged with each item, fading with time; popularity orders the rest.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        half_life: days; 0 counts all events the same.
        recent: the half-life of the popularity, days.
    """

    name = "personal_frequency"

    def __init__(self, past: Interactions, histories: Histories, half_life: float = 0.0, recent: float = 0.0) -> None:
        counts = popularity(past, recent)
        self._ties = (counts / max(TIE, counts.max(initial=0)) * TIE).astype(np.float32)
        self._histories = histories
        self._half_life = half_life

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            history = self._histories(query)
            weights = 0.5 ** (history.ages / self._half_life) if self._half_life else np.ones(len(history.items))
            np.add.at(scores[row], history.items, weights.astype(np.float32))
        return scores


def popularity(past: Interactions, half_life: float) -> Floats:
    """`[items] float64` events, halved in weight with each half-life (days; 0 for none)."""
    weights = 0.5 ** (past.ages / half_life) if half_life else np.ones(len(past.items))
    return np.bincount(past.items, weights, minlength=past.size).astype(np.float64)
