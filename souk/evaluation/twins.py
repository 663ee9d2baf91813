"""Bundles as scorers: the two towers alone, and the slate as it would be served. Imports TensorFlow."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tensorflow as tf

from souk.errors import SoukError
from souk.evaluation.cost import Cost
from souk.evaluation.later_items import LaterItems
from souk.evaluation.observed import Observed
from souk.evaluation.queries import Catalogue, Query, in_spec
from souk.evaluation.reranking import Alternatives
from souk.metrics import Floats
from souk.release.bundle import Bundle
from souk.serving.inputs import query_inputs
from souk.serving.lifetimes import Lifetimes
from souk.serving.ranking import Ranking
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.signatures import QueryTower
from souk.spec import FeatureSpec
from souk.state import UserState, features_at

BATCH = 64  # requests in one call of the models
BY_ID = re.compile(r"/((items|users)/(table|seen)|known_(content|vectors))/")  # variables of souk.models.towers
ABSENT = np.float32(-1e30)  # below everything: an item that the bundle does not have


def weight_bytes(model: Path) -> int:
    """The bytes of a SavedModel's weights but those with a row for each item or user: a grown shop is no worse."""
    weights = tf.train.load_checkpoint(str(model / "variables" / "variables"))
    kinds = weights.get_variable_to_dtype_map()
    return sum(
        math.prod(shape) * kinds[name].size
        for name, shape in weights.get_variable_to_shape_map().items()
        if kinds[name] != tf.string and not BY_ID.search(name)
    )


class Towers:
    """Retrieval order: the whole catalogue by query times item vector. The last queries' scores are kept: see `Slates`.

    Args:
        name: in the tables.
        bundle: the towers and vectors.
        catalogue: the items to rank; those that neither the bundle nor `later` has come last.
        spec: that of the queries' states.
        later: rows that its server has beside the bundle's, or in their place.
        gone: by table, columns of its spec that the data do not have: it is asked without them.
    """

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        catalogue: Catalogue,
        spec: FeatureSpec,
        later: LaterItems | None = None,
        gone: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self.name = name
        self.bundle = bundle
        self.later = later if later and len(later.rows) else None
        ids = (*bundle.item_ids, *(later.new if later else ()))
        self.places = np.array([catalogue.position.get(item, -1) for item in ids], dtype=np.int64)
        self._size = len(catalogue.ids)
        by_birth = np.argsort(catalogue.born, kind="stable")
        self._born, self._by_birth = catalogue.born[by_birth], [catalogue.ids[place] for place in by_birth]
        self._available, self._until = catalogue.available, catalogue.until.astype(np.float64)
        self._in_order = ids == catalogue.ids
        self._gone = gone
        self._context = {feature.source for feature in bundle.spec.context}.difference(gone.get("events", ()))
        self._same_spec = bundle.spec.of_states == spec.of_states
        self._tower = QueryTower(bundle.query_tower)
        self._vectors = self._with_later(ids)
        self._last: tuple[Sequence[Query], Floats] | None = None

    def _with_later(self, ids: Sequence[str]) -> Floats:
        """The vectors of the bundle's items, those of `later` among them."""
        vectors = np.array(self.bundle.vectors, dtype=np.float32)
        if not self.later:
            return vectors
        vectors = np.pad(vectors, ((0, len(self.later.new)), (0, 0)))
        position = {item: place for place, item in enumerate(ids)}
        vectors[[position[item] for item in self.later.rows["item_id"].to_pylist()]] = self.later.vectors
        return vectors

    def load(self) -> Towers:
        """Reads the query tower."""
        self._tower.load()
        return self

    def state(self, query: Query) -> UserState:
        """The query's state in the bundle's spec."""
        if self._same_spec:
            return query.state
        profile = {name: value for name, value in query.profile.items() if name not in self._gone.get("users", ())}
        return in_spec(replace(query, profile=profile), self.bundle.spec)

    def context(self, query: Query) -> dict[str, Any]:
        """The query's context, as the bundle's spec has it; nothing of what is missing there."""
        return {name: value for name, value in query.context.items() if name in self._context and value is not None}

    @property
    def lacks(self) -> list[str]:
        """The columns that it is asked without, as `columns.events.device`: of items only where some are new to it,
        since it has the content of the others."""
        of = ("events", "users", "items") if self.later and self.later.new else ("events", "users")
        return [f"columns.{table}.{name}" for table in of for name in sorted(self._gone.get(table, ()))]

    def unborn(self, query: Query) -> frozenset[str]:
        """The items that were not there yet."""
        return frozenset(self._by_birth[np.searchsorted(self._born, query.until, side="right") :])

    def available(self, own: np.ndarray) -> np.ndarray:
        """`[bundle's items]` bool, as the evaluation knows them; as the bundle does where it has others."""
        return np.where(self.places >= 0, self._available[self.places], own)

    def lifetimes(self) -> Lifetimes:
        """The ends of the bundle's items as the evaluation knows them: a bundle of before may know of none. What is not
        there yet is excluded: under the frozen protocol it may come later than the query."""
        until = np.where(self.places >= 0, self._until[self.places], np.inf)
        return Lifetimes(np.full(len(until), np.nan), until, np.zeros(len(until), bool))

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`. The same object of queries gives the same array of scores: it is not to be written to."""
        if self._last is None or self._last[0] is not queries:
            self._last = queries, self._scores(queries)
        return self._last[1]

    def _scores(self, queries: Sequence[Query]) -> Floats:
        scores = np.full((len(queries), self._size), ABSENT, dtype=np.float32)
        kept = self.places >= 0
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            spec = self.bundle.spec
            features = [features_at(self.state(q), q.timestamp, spec, self.context(q)) for q in batch]
            rows, vectors = scores[start : start + len(batch)], self._tower.vectors(query_inputs(features, spec))
            if self._in_order:
                np.matmul(vectors, self._vectors.T, out=rows)
            else:
                rows[:, self.places[kept]] = (vectors @ self._vectors.T)[:, kept]
        return scores


class Slates:
    """The request path: candidates in the order of the slate, then the rest of the catalogue in retrieval order.

    It knows at each query what was engaged with before it, as a server does that is told of events.

    Slates are asked for at the size that is served: what re-ranking puts into the first places depends on it.

    Args:
        name: in the tables.
        towers: of the same bundle.
        features: the folder whose engagements it is told of.
    """

    def __init__(self, name: str, towers: Towers, features: Path) -> None:
        self.name, self._features = name, features
        self.observing, self.observed, self.alternatives = True, Observed(), Alternatives()
        self.cost = Cost(
            sum(map(weight_bytes, (towers.bundle.query_tower, towers.bundle.item_tower, towers.bundle.ranker)))
        )
        self._towers = towers

    def load(self) -> Slates:
        """Reads the models of the request path; it searches in process, exactly."""
        loaded = Recommender.load(self._towers.bundle, index=None, store=None)
        if later := self._towers.later:
            loaded = loaded.with_items(later.rows, later.vectors)
        available = self._towers.available(loaded.catalogue.available)
        loaded.catalogue = replace(loaded.catalogue, available=available, lifetimes=self._towers.lifetimes())
        loaded.retrieval = loaded.retrieval.with_items(loaded.items.vectors, available, np.zeros(0, np.int64))
        self._recommender = loaded.with_counts(loaded.items.followed(self._features).counts)
        self.alternatives = Alternatives.of(self._recommender.reranker, self._towers.bundle.settings.slate_size)
        return self

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = self._towers.score(queries).copy()
        for start in range(0, len(queries), BATCH):
            batch = queries[start : start + BATCH]
            for row, (query, ranking) in enumerate(zip(batch, self._ranked(batch), strict=True), start=start):
                places = self._towers.places[ranking.candidates.positions]
                kept = places >= 0
                if self.observing:
                    ranked = (np.cumsum(kept) - 1)[ranking.ranked[kept[ranking.ranked]]]
                    self.observed.add(query, places[kept], ranked, {head: v[kept] for head, v in ranking.heads.items()})
                    self.alternatives.add(ranking, query.timestamp, places)
                shown = places[ranking.order]
                scores[row, shown[shown >= 0]] = scores[row].max() + 1 + np.arange(kept.sum(), 0, -1)
        return scores

    def _ranked(self, batch: Sequence[Query]) -> list[Ranking]:
        """Refuses what a server would paper over: a model that fails here must not be judged by its fallback."""
        requests = [
            Request(
                user_id=query.user_id,
                k=self._towers.bundle.settings.slate_size,
                timestamp=query.timestamp,
                context=self._towers.context(query),
                exclude=self._towers.unborn(query),
                state=self._towers.state(query),
            )
            for query in batch
        ]
        with self.cost.timed(len(requests)):
            rankings = self._recommender.rank(requests)
        degraded = sorted({reason for ranking in rankings for reason in ranking.degraded})
        if degraded:
            remedy = "See the messages above; do not release this model."
            raise SoukError(f"the models of {self.name} to answer every query", ", ".join(degraded), remedy)
        return rankings
