"""LightGBM's LambdaMART, the peer of the ranker: the same candidates, the same features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pyarrow.parquet as pq

from souk.evaluation.queries import Query
from souk.metrics import Floats, Ints, mean_by_user, query_metric, target_ranks

LEAST = np.float32(-1e9)  # of an item that is no candidate
ROUNDS = 500  # at most; fewer where held-out users are not served better any more
PATIENCE = 30  # rounds
KEYS = ("user_id", "timestamp", "item", "taken")


@dataclass(frozen=True)
class Candidates:
    """The candidates of a window, moments in groups.

    Args:
        features: `[rows, features] float32`.
        names: of the features.
        items: `[rows] int64`, places in the catalogue.
        taken: `[rows]` 0 or 1.
        start: `[moments + 1]`, where each moment's rows begin.
        moments: user id and time (UTC epoch milliseconds) of each.
    """

    features: Floats
    names: tuple[str, ...]
    items: Ints
    taken: Ints
    start: Ints
    moments: tuple[tuple[str, int], ...]

    @classmethod
    def read(cls, path: Path) -> Candidates:
        """Reads what `ranker_features.export` wrote."""
        table = pq.read_table(path)
        names = tuple(name for name in table.column_names if name not in KEYS)
        users, times = table["user_id"].to_pylist(), table["timestamp"].to_pylist()
        keys = list(zip(users, times, strict=True))
        start = [row for row, key in enumerate(keys) if row == 0 or key != keys[row - 1]]
        return cls(
            features=np.stack([table[name].to_numpy().astype(np.float32) for name in names], axis=1),
            names=names,
            items=table["item"].to_numpy(),
            taken=table["taken"].to_numpy(),
            start=np.array([*start, len(keys)]),
            moments=tuple(keys[row] for row in start),
        )

    def of(self, chosen: np.ndarray) -> tuple[Floats, Ints, Ints]:
        """Features, labels and group sizes of the moments that `chosen` `[moments] bool` marks."""
        sizes = np.diff(self.start)
        rows = np.repeat(chosen, sizes)
        return self.features[rows], self.taken[rows], sizes[chosen]


class LambdaMart:
    """LambdaMART (Burges 2010) of LightGBM over Souk's candidates; what is no candidate comes last.

    Args:
        candidates: of the window that is scored.
        booster: fitted.
    """

    name = "lambdamart"

    def __init__(self, candidates: Candidates, booster: Any, size: int) -> None:
        self._size = size
        self._scores = np.asarray(booster.predict(candidates.features), np.float32)
        self._candidates = candidates
        self._moment = {moment: number for number, moment in enumerate(candidates.moments)}

    def knows(self, query: Query) -> bool:
        """Whether there are candidates for the query: of a large window, only a draw of the moments has them."""
        return (query.user_id, query.timestamp) in self._moment

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `souk.evaluation.baselines.Scorer`."""
        scores = np.full((len(queries), self._size), LEAST, np.float32)
        for row, query in enumerate(queries):
            number = self._moment[query.user_id, query.timestamp]
            rows = slice(self._candidates.start[number], self._candidates.start[number + 1])
            scores[row, self._candidates.items[rows]] = self._scores[rows]
        return scores


def fit(candidates: Candidates, settings: Mapping[str, Any], seed: int) -> tuple[Any, float]:
    """Fits on the moments of four users in five, for as many rounds as serve the fifth best, and then on all.

    Args:
        candidates: of the validation window.
        settings: of LightGBM.
        seed: of the draw of users and of LightGBM.

    Returns:
        The booster, and NDCG@10 of the held-out users, averaged by user over moments with a taken candidate.
    """
    names = np.array([user for user, _ in candidates.moments])
    users = np.unique(names)
    held = np.isin(names, np.random.default_rng(seed).choice(users, max(1, len(users) // 5), replace=False))
    taken = np.add.reduceat(candidates.taken.astype(np.int64), candidates.start[:-1]) > 0
    train, valid = (_dataset(candidates, part & taken) for part in (~held, held))
    parameters = {
        "objective": "lambdarank", "metric": "ndcg", "eval_at": [10], "verbose": -1, "seed": seed, "num_threads": 1,
        "deterministic": True, **settings,
    }  # fmt: skip
    early = lightgbm.early_stopping(PATIENCE, verbose=False)
    tried = lightgbm.train(parameters, train, ROUNDS, valid_sets=[valid], callbacks=[early])
    value = held_out_ndcg(candidates, tried, held & taken)
    rounds = max(1, tried.best_iteration)
    return lightgbm.train(parameters, _dataset(candidates, taken), rounds), value


def held_out_ndcg(candidates: Candidates, booster: Any, chosen: np.ndarray) -> float:
    """NDCG@10 of the chosen moments, averaged by user."""
    features, labels, sizes = candidates.of(chosen)
    scores = booster.predict(features, num_iteration=booster.best_iteration)
    ends = np.cumsum(sizes)[:-1]
    parts = zip(np.split(scores, ends), np.split(labels, ends), strict=True)
    ranks = [target_ranks(line, np.flatnonzero(mine)) for line, mine in parts]
    names = [candidates.moments[number][0] for number in np.flatnonzero(chosen)]
    users, place = np.unique(names, return_inverse=True)
    return float(mean_by_user(query_metric("ndcg@10", ranks), place, len(users)).mean())


def _dataset(candidates: Candidates, chosen: np.ndarray) -> Any:
    features, labels, sizes = candidates.of(chosen)
    categories = [n for n, name in enumerate(candidates.names) if name.startswith("category:")]
    return lightgbm.Dataset(features, labels, group=sizes, categorical_feature=categories, free_raw_data=False)
