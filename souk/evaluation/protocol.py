"""The protocol: every model ranks the whole catalogue for the same queries.

Metrics are averaged within a user, then over users, so that a user of many events counts as much as one of few. There
are no sampled negatives: they change the order of models (Krichene and Rendle 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from souk.evaluation.baselines import Scorer
from souk.evaluation.queries import Catalogue, Query
from souk.metrics import Floats, Ints, bootstrap, coverage, mean_by_user, query_metric, target_ranks, top

METRICS = ("hr@10", "ndcg@10", "mrr", "recall@100")
TOP = 10
RECALL_AT = (1, 2, 5, 10, 20, 50, 100, 200)
CELLS = 8_000_000  # scores held at once
SEED = 20


@dataclass(frozen=True)
class Ranking:
    """What one model made of the queries.

    Args:
        name: the model.
        ranks: per query, the rank of each target.
        new_ranks: per query, the rank of each target that the user never engaged with before, among all such items.
        top: `[queries, TOP]` positions of the first items; -1 where the catalogue ends.
    """

    name: str
    ranks: list[Floats]
    new_ranks: list[Floats]
    top: Ints


def rank(scorer: Scorer, queries: Sequence[Query], catalogue: Catalogue) -> Ranking:
    """Ranks the whole catalogue, but for what is not available and what each query excludes."""
    ranks: list[Floats] = []
    new_ranks: list[Floats] = []
    tops = []
    size = max(1, CELLS // max(1, len(catalogue.ids)))
    for start in range(0, len(queries), size):
        batch = queries[start : start + size]
        scores = np.array(scorer.score(batch), dtype=np.float32)
        scores[:, ~catalogue.available] = -np.inf
        for row, query in enumerate(batch):
            scores[row, query.excluded] = -np.inf
            ranks.append(target_ranks(scores[row], query.targets))
        tops.append(_first(scores, TOP))
        for row, query in enumerate(batch):
            scores[row, query.history] = -np.inf
            new_ranks.append(target_ranks(scores[row], query.targets[new_to_user(query)]))
    return Ranking(scorer.name, ranks, new_ranks, np.concatenate(tops) if tops else np.zeros((0, TOP), np.int64))


def new_to_user(query: Query) -> np.ndarray:
    """`[targets]` bool: whether the user never engaged with the target before."""
    return np.isin(query.targets, query.history, invert=True)


def summarise(
    rankings: Sequence[Ranking], queries: Sequence[Query], catalogue: Catalogue, metrics: Sequence[str], samples: int
) -> tuple[dict[str, dict[str, Any]], pd.DataFrame]:
    """Metrics of each model and of each user.

    Returns:
        Per model: each metric's mean with its 95% interval over users, coverage of the first ten, and their mean
        popularity; and a table with a row per user and model, a column per metric.
    """
    names = sorted({query.user_id for query in queries})
    place = {name: index for index, name in enumerate(names)}
    users = np.array([place[query.user_id] for query in queries], dtype=np.int64)
    models: dict[str, dict[str, Any]] = {}
    tables = []
    for ranking in rankings:
        own = {name: mean_by_user(query_metric(name, ranking.ranks), users, len(names)) for name in metrics}
        shown = ranking.top[ranking.top >= 0]
        models[ranking.name] = {
            **{name: vars(bootstrap(values, samples, SEED)) for name, values in own.items()},
            "coverage@10": coverage(shown, int(catalogue.available.sum())),
            "popularity@10": float(catalogue.popularity[shown].mean()) if len(shown) else 0.0,
        }
        tables.append(pd.DataFrame({"user_id": names, "model": ranking.name, **own}))
    return models, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def recall_curves(rankings: Sequence[Ranking], queries: Sequence[Query]) -> dict[str, list[float]]:
    """Per model, recall within the first `RECALL_AT` items, averaged by user."""
    place: dict[str, int] = {}
    users = np.array([place.setdefault(query.user_id, len(place)) for query in queries], dtype=np.int64)
    return {
        ranking.name: [
            float(mean_by_user(query_metric(f"recall@{k}", ranking.ranks), users, len(place)).mean()) if place else 0.0
            for k in RECALL_AT
        ]
        for ranking in rankings
    }


def slices(
    rankings: Sequence[Ranking], queries: Sequence[Query], catalogue: Catalogue, metrics: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Metrics on cold users (no event before the query), on new items (no event before the window) and, where users
    come back to items, on what is new to the user (ranked among what is new to the user) and on what is not."""
    cold = [np.full(len(query.targets), query.state.count == 0) for query in queries]
    new = [~catalogue.old[query.targets] for query in queries]
    warm = [~a & ~b for a, b in zip(cold, new, strict=True)]
    found = {
        "cold users": _slice(rankings, queries, cold, metrics),
        "new items": _slice(rankings, queries, new, metrics),
        "known users and items": _slice(rankings, queries, warm, metrics),
    }
    again = [~new_to_user(query) for query in queries]
    if any(mask.any() for mask in again):
        first = [np.ones(int((~mask).sum()), bool) for mask in again]
        of_new = [replace(ranking, ranks=ranking.new_ranks) for ranking in rankings]
        found["new to the user"] = _slice(of_new, queries, first, metrics)
        found["engaged with before"] = _slice(rankings, queries, again, metrics)
    return found


def _slice(
    rankings: Sequence[Ranking], queries: Sequence[Query], chosen: Sequence[np.ndarray], metrics: Sequence[str]
) -> dict[str, Any]:
    """Metrics over the targets that `chosen` marks, of those that `rankings` have ranks for."""
    kept = [index for index, mask in enumerate(chosen) if mask.any()]
    place: dict[str, int] = {}
    users = np.array([place.setdefault(queries[i].user_id, len(place)) for i in kept], dtype=np.int64)
    values: dict[str, Any] = {"queries": len(kept), "users": len(place)}
    for ranking in rankings if kept else ():
        ranks = [ranking.ranks[i][chosen[i]] for i in kept]
        values[ranking.name] = {
            name: float(mean_by_user(query_metric(name, ranks), users, len(place)).mean()) for name in metrics
        }
    return values


def _first(scores: Floats, count: int) -> Ints:
    """`[queries, count]` positions of the best scores, best first; -1 for those that are out of the ranking."""
    first = np.full((len(scores), count), -1, np.int64)
    for row, line in enumerate(scores):
        best = top(line, count)
        first[row, : len(best)] = best
    return first
