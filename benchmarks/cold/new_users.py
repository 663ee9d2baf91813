"""Users of whom little is known yet: NDCG@10 of the towers by how many events a user had, beside simpler models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cold.fitted import Fitted
from souk.evaluation.baselines import ItemKnn, Popularity
from souk.evaluation.protocol import rank_all
from souk.evaluation.queries import Query, WindowName, read_window, rolling_queries
from souk.metrics import mean_by_user, query_metric
from souk.sources.popularity import Segments
from souk.state import features_at, user_features

MOST = 5  # events
METRIC = "ndcg@10"


class Towers:
    """The towers as a model of the protocol."""

    name = "towers"

    def __init__(self, fitted: Fitted) -> None:
        self._fitted, self._vectors = fitted, fitted.warm_vectors()

    def score(self, queries: Sequence[Query]) -> np.ndarray:
        """`[queries, items]`."""
        spec = self._fitted.spec
        features = [features_at(q.state, q.timestamp, spec, q.context) for q in queries]
        return np.stack(list(self._fitted.queries(features))) @ self._vectors.T


class SegmentPopularity:
    """The release's popular items of a user's segments."""

    name = "segment_popular"

    def __init__(self, fitted: Fitted, segments: Segments, items: int) -> None:
        self._fitted, self._segments, self._items = fitted, segments, items

    def score(self, queries: Sequence[Query]) -> np.ndarray:
        """`[queries, items]`."""
        scores = np.zeros((len(queries), self._items), np.float32)
        for line, query in zip(scores, queries, strict=True):
            user = user_features(query.user_id, query.state.profile, self._fitted.spec)
            found, shares = self._segments.popular(self._segments.of(user), self._items)
            line[found] = shares
        return scores


def new_users(folder: Path, fitted: Fitted, window: WindowName) -> list[dict[str, Any]]:
    """A row for each number of events up to MOST."""
    catalogue, people = read_window(folder / "tables", folder / "features", fitted.spec, window)
    every = [q for q in rolling_queries(people, catalogue, fitted.spec, 2 * MOST) if len(q.history) <= MOST]
    file = folder / "features" / "segment_popular" / f"{window}_start.npz"
    segments = SegmentPopularity(fitted, Segments.load(file, len(catalogue.ids)), len(catalogue.ids))
    scorers = Towers(fitted), segments, Popularity(catalogue), ItemKnn(catalogue)
    rows = []
    for events in range(MOST + 1):
        queries = [query for query in every if len(query.history) == events]
        row: dict[str, Any] = {"events": events, "queries": len(queries)}
        for ranking in rank_all(scorers, queries, catalogue) if queries else ():
            users = np.unique([query.user_id for query in queries], return_inverse=True)[1]
            values = mean_by_user(query_metric(METRIC, ranking.ranks), users, int(users.max()) + 1)
            row[ranking.name] = f"{values.mean():.4f} ± {values.std() / np.sqrt(len(values)):.4f}"
        rows.append(row)
    return rows
