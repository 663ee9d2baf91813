"""Matrix factorisations of the package implicit: ALS and BPR. A query's user is folded in from the history up to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from scipy.sparse import csr_matrix

from benchmarks.quality.interactions import NONE, Decay, Histories, Interactions
from souk.evaluation.queries import Query
from souk.metrics import Floats


class Als:
    """Implicit ALS (Hu, Koren and Volinsky 2008); a query's factors solve its own least squares (equation 4).

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        factors: of the model.
        regularization: of the model.
        alpha: the confidence of an event.
        iterations: of the fit.
        recency: what an event of a query's history counts.
        age: what an event of the fit counts, by its age at the start of the window.
        seed: of the start.
    """

    name = "als"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        factors: int = 64,
        regularization: float = 0.01,
        alpha: float = 10.0,
        iterations: int = 15,
        recency: Decay = NONE,
        age: Decay = NONE,
        seed: int = 0,
    ) -> None:
        self._histories, self._recency, self._alpha, self._size = histories, recency, alpha, past.size
        self._model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            random_state=seed,
            num_threads=1,  # the sums of threads come in any order
        )
        self._model.fit(_matrix(past, age), show_progress=False)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        rows = self._rows(queries)
        users = self._model.recalculate_user(np.arange(len(queries)), rows)
        return np.asarray(users, np.float32) @ np.asarray(self._model.item_factors, np.float32).T

    def _rows(self, queries: Sequence[Query]) -> Any:
        histories = [self._histories(query) for query in queries]
        items = np.concatenate([*(history.items for history in histories), np.zeros(0, np.int64)])
        rows = np.repeat(np.arange(len(queries)), [len(history.items) for history in histories])
        weights = np.concatenate([*(self._recency.of_history(history) for history in histories), np.zeros(0)])
        return csr_matrix((weights.astype(np.float32), (rows, items)), shape=(len(queries), self._size))


class Bpr:
    """BPR matrix factorisation (Rendle et al. 2009); known users keep their factors, the rest get their items' mean.

    Args:
        past: what was known at the start of the window.
        histories: of the queries.
        factors: of the model.
        learning_rate: of the fit.
        regularization: of the model.
        iterations: of the fit.
        recency: what an item of the history counts in the mean of the history's items.
        share: of that mean in a known user's factors, from 0 to 1.
        seed: of the start and the draws.
    """

    name = "bpr"

    def __init__(
        self,
        past: Interactions,
        histories: Histories,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        iterations: int = 100,
        recency: Decay = NONE,
        share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._histories, self._recency, self._share, self._place = histories, recency, share, past.place
        self._model = BayesianPersonalizedRanking(
            factors=factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=iterations,
            random_state=seed,
            num_threads=1,
        )
        self._model.fit(_matrix(past), show_progress=False)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        items = np.asarray(self._model.item_factors, np.float32)
        users = np.zeros((len(queries), items.shape[1]), np.float32)
        users[:, -1] = 1.0  # what the last factor, an item's bias, is multiplied with
        for row, query in enumerate(queries):
            place, history = self._place.get(query.user_id, -1), self._histories(query)
            weights = self._recency.of_history(history)
            share = self._share if place >= 0 else 1.0
            if weights.sum() > 0 and share > 0:
                users[row, :-1] += share * (weights @ items[history.items, :-1] / weights.sum()).astype(np.float32)
            if place >= 0:
                users[row, :-1] += (1 - share) * self._model.user_factors[place, :-1]
        return users @ items.T


def _matrix(past: Interactions, age: Decay = NONE) -> Any:
    weights = past.weights(age).astype(np.float32)
    return csr_matrix((weights, (past.users, past.items)), shape=(len(past.names), past.size))
