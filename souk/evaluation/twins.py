"""Bundles as scorers: the two towers alone, and the slate as it would be served. Imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from souk.errors import SoukError
from souk.evaluation.queries import Catalogue, Query, in_spec
from souk.metrics import Floats, Ints, reliability
from souk.release.bundle import Bundle
from souk.serving.inputs import query_inputs
from souk.serving.ranking import Ranking
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.signatures import QueryTower
from souk.spec import FeatureSpec
from souk.state import UserState, features_at

BATCH = 64  # requests in one call of the models
ABSENT = np.float32(-1e30)  # below everything: an item that the bundle does not have


@dataclass
class Observed:
    """What the ranker said of the candidates, and what came of them.

    Args:
        engaged: predicted, for each candidate.
        chosen: whether the candidate was a target.
        satisfied: predicted, for each target among the candidates.
        events: the events of these targets.
    """

    engaged: list[Floats] = field(default_factory=list)
    chosen: list[np.ndarray] = field(default_factory=list)
    satisfied: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def add(self, query: Query, positions: Ints, heads: Mapping[str, Floats]) -> None:
        """Takes one query's candidates: `positions` in the catalogue, and each head's probabilities."""
        chosen = np.isin(positions, query.targets)
        event = dict(zip(query.targets.tolist(), query.target_events, strict=True))
        self.engaged.append(heads["engaged"])
        self.chosen.append(chosen)
        self.satisfied += heads["satisfied"][chosen].tolist()
        self.events += [event[place] for place in positions[chosen].tolist()]

    def calibration(self, labels: Mapping[str, int]) -> dict[str, list[dict[str, float]]]:
        """Predicted against observed shares by head; `labels` are 1 or 0 by event, without those not yet known."""
        pairs = zip(self.satisfied, self.events, strict=True)
        known = [(predicted, labels[event]) for predicted, event in pairs if event in labels]
        predicted, observed = np.array(known, dtype=np.float64).reshape(-1, 2).T
        engaged, chosen = (np.concatenate([*parts, np.zeros(0)]) for parts in (self.engaged, self.chosen))
        return {"engaged": reliability(engaged, chosen), "satisfied": reliability(predicted, observed)}


class Towers:
    """Retrieval order: the whole catalogue by query times item vector.

    Args:
        name: in the tables.
        bundle: the towers and vectors.
        catalogue: the items to rank; those that the bundle lacks come last.
        spec: that of the queries' states.
    """

    def __init__(self, name: str, bundle: Bundle, catalogue: Catalogue, spec: FeatureSpec) -> None:
        self.name = name
        self.bundle = bundle
        self.places = np.array([catalogue.position.get(item, -1) for item in bundle.item_ids], dtype=np.int64)
        self._size = len(catalogue.ids)
        self._in_order = tuple(bundle.item_ids) == catalogue.ids
        self._same_spec = bundle.spec.hash == spec.hash
        self._tower = QueryTower(bundle.query_tower)
        self._vectors = np.array(bundle.vectors, dtype=np.float32)

    def load(self) -> Towers:
        """Reads the query tower."""
        self._tower.load()
        return self

    def state(self, query: Query) -> UserState:
        """The query's state in the bundle's spec."""
        return query.state if self._same_spec else in_spec(query, self.bundle.spec)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.full((len(queries), self._size), ABSENT, dtype=np.float32)
        kept = self.places >= 0
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            spec = self.bundle.spec
            features = [features_at(self.state(query), query.timestamp, spec, query.context) for query in batch]
            rows, vectors = scores[start : start + len(batch)], self._tower.vectors(query_inputs(features, spec))
            if self._in_order:
                np.matmul(vectors, self._vectors.T, out=rows)
            else:
                rows[:, self.places[kept]] = (vectors @ self._vectors.T)[:, kept]
        return scores


class Slates:
    """The request path: candidates in the ranker's order, then the rest of the catalogue in retrieval order.

    Args:
        name: in the tables.
        towers: of the same bundle.
    """

    def __init__(self, name: str, towers: Towers) -> None:
        self.name = name
        self.observed = Observed()
        self._towers = towers

    def load(self) -> Slates:
        """Reads the models of the request path; it searches in process, exactly."""
        self._recommender = Recommender.load(self._towers.bundle, index=None, store=None)
        return self

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = self._towers.score(queries)
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            for row, (query, ranking) in enumerate(zip(batch, self._ranked(batch), strict=True), start=start):
                places = self._towers.places[ranking.positions]
                order = ranking.order[places >= 0]
                places = places[places >= 0]
                self.observed.add(query, places, {head: values[order] for head, values in ranking.heads.items()})
                scores[row, places] = scores[row].max() + 1 + np.arange(len(places), 0, -1)
        return scores

    def _ranked(self, batch: Sequence[Query]) -> list[Ranking]:
        """Refuses what a server would paper over: a model that fails here must not be judged by its fallback."""
        requests = [
            Request(
                user_id=query.user_id,
                k=1,
                timestamp=query.timestamp,
                context={name: value for name, value in query.context.items() if value is not None},
                state=self._towers.state(query),
            )
            for query in batch
        ]
        rankings = self._recommender.rank(requests)
        degraded = sorted({reason for ranking in rankings for reason in ranking.degraded})
        if degraded:
            remedy = "See the messages above; do not release this model."
            raise SoukError(f"the models of {self.name} to answer every query", ", ".join(degraded), remedy)
        return rankings
