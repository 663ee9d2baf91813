"""The request path: users → query vectors → candidates → probabilities → slates, each stage once for a whole batch.

A stage that fails hands on less and says so in `degraded`; the next one goes on.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from souk.index.exact import ExactIndex
from souk.index.interface import Index
from souk.pairs import ItemTable, PairQuery, pair_features
from souk.release.bundle import Bundle
from souk.serving.catalogue import Catalogue, SafeSlates
from souk.serving.inputs import item_inputs, query_inputs
from souk.serving.ranking import NO_CANDIDATES, Candidates, Ranking, SlateMaker
from souk.serving.request import Request, past_events, with_events
from souk.serving.retrieval import Retrieval
from souk.serving.signatures import QueryTower, Ranker
from souk.serving.slate import Slate
from souk.spec import FeatureSpec
from souk.state import QueryFeatures, UserState, features_at, repeat_excluded

logger = logging.getLogger(__name__)
Clock = Callable[[], float]
Notes = Sequence[list[str]]


class Store(Protocol):
    """Where user states are read."""

    def read(self, user_ids: Sequence[str]) -> Sequence[UserState | None]:
        """The states of users, None for one who is not known."""


@dataclass(frozen=True)
class Settings:
    """What a bundle says about its slates.

    Args:
        release: its name.
        weights: the exponent of each head in the score.
        candidates: how many items the ranker looks at.
    """

    release: str
    weights: Mapping[str, float]
    candidates: int


class Recommender:
    """Recommends items to users.

    Args:
        spec: the release's feature specification.
        settings: what the bundle says about its slates.
        catalogue: the items.
        items: what pairs of query and item are described with.
        safe: popular items.
        query_tower: loaded.
        ranker: loaded.
        retrieval: the index and its fallback.
        store: user states; None where requests bring their own.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        catalogue: Catalogue,
        items: ItemTable,
        safe: SafeSlates,
        query_tower: QueryTower,
        ranker: Ranker,
        retrieval: Retrieval,
        store: Store | None,
    ) -> None:
        self.spec = spec
        self.settings = settings
        self.catalogue = catalogue
        self.store = store
        self.retrieval = retrieval
        self._items = items
        self._safe = safe
        self._query_tower = query_tower
        self._ranker = ranker
        self._slates = SlateMaker(catalogue, safe, settings.release)

    @classmethod
    def load(
        cls, bundle: Bundle, index: Index | None, store: Store | None, clock: Clock = time.monotonic
    ) -> Recommender:
        """Reads the models of a bundle and calls each once, so that the first request is as fast as the others.

        Args:
            bundle: a bundle, or a release.
            index: over its vectors; None to search in process.
            store: user states of its spec; None where requests bring their own.
            clock: monotonic seconds.
        """
        catalogue = Catalogue.of(bundle.item_ids, bundle.titles, bundle.available)
        settings = Settings(bundle.name, bundle.settings.objectives, bundle.settings.candidates)
        items = ItemTable.of(bundle.items, bundle.counters, bundle.vectors, bundle.spec)
        recommender = cls(
            spec=bundle.spec,
            settings=settings,
            catalogue=catalogue,
            items=items,
            safe=SafeSlates.of(bundle.safe_slates, catalogue, bundle.spec),
            query_tower=QueryTower(bundle.query_tower).load(),
            ranker=Ranker(bundle.ranker, item_inputs(bundle.items.to_pydict(), bundle.spec)).load(),
            retrieval=Retrieval(index, ExactIndex(items.vectors, catalogue.available), clock),
            store=store,
        )
        recommender.rank([Request("", settings.candidates, 0, state=UserState(""))])
        return recommender

    def connected(self, index: Index | None, store: Store | None, clock: Clock = time.monotonic) -> Recommender:
        """The same models over another index and store."""
        other = copy.copy(self)
        other.retrieval, other.store = Retrieval(index, self.retrieval.exact, clock), store
        return other

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """A slate for each request: never fewer than `k` items while the catalogue has that many eligible ones."""
        return [self._slates.slate(r, ranking) for r, ranking in zip(requests, self.rank(requests), strict=True)]

    def rank(self, requests: Sequence[Request]) -> list[Ranking]:
        """The ranked candidates of each request, without the fill that makes a slate whole."""
        notes = [list(request.degraded) for request in requests]
        states = self._states(requests, notes)
        features = [features_at(s, r.timestamp, self.spec, r.context) for s, r in zip(states, requests, strict=True)]
        inputs = query_inputs(features, self.spec)
        excluded = [self._excluded(request, state) for request, state in zip(requests, states, strict=True)]
        vectors = self._vectors(inputs, notes)
        candidates = self._candidates(requests, excluded, vectors, notes)
        heads = self._heads(requests, features, inputs, candidates, notes)
        return [
            self._ranking(candidates[row], heads[row], excluded[row], states[row], notes[row], features[row])
            for row in range(len(requests))
        ]

    def _states(self, requests: Sequence[Request], notes: Notes) -> list[UserState]:
        """What is known of each user: one store read, then the request's own events."""
        rows = [row for row, request in enumerate(requests) if request.state is None]
        states: list[UserState | None] = [request.state for request in requests]
        try:
            if rows and self.store is None:
                raise LookupError("no store")
            stored = self.store.read([requests[row].user_id for row in rows]) if rows and self.store else []
            for row, state in zip(rows, stored, strict=True):
                states[row] = state
                if state is None:
                    notes[row].append("unknown_user")
        except Exception as error:
            logger.warning("features unavailable: %s: %s", type(error).__name__, error)
            for row in rows:
                notes[row].append("features_unavailable")
        past = [past_events(request) for request in requests]
        for note, events, request in zip(notes, past, requests, strict=True):
            if len(events) < len(request.events):
                note.append("future_events")
        return [
            with_events(state or UserState(request.user_id), events, self.spec)
            for state, events, request in zip(states, past, requests, strict=True)
        ]

    def _excluded(self, request: Request, state: UserState) -> frozenset[int]:
        """Positions that the request or the repeat rule keeps out."""
        ids = chain(request.exclude, repeat_excluded(state, request.timestamp, self.spec))
        return frozenset(self.catalogue.known(ids))

    def _vectors(self, inputs: Mapping[str, np.ndarray], notes: Notes) -> np.ndarray:
        """Query vectors `[B, dim]`; NaN where there is none."""
        try:
            vectors = self._query_tower.vectors(inputs)
        except Exception as error:
            logger.warning("query tower unavailable: %s: %s", type(error).__name__, error)
            vectors = np.full((len(notes), self.retrieval.exact.vectors.shape[1]), np.nan, np.float32)
        for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
            notes[row].append("query_tower_unavailable")
        return vectors

    def _candidates(
        self,
        requests: Sequence[Request],
        excluded: Sequence[frozenset[int]],
        vectors: np.ndarray,
        notes: Notes,
    ) -> list[Candidates]:
        """What the ranker is to look at: one index search for all requests without candidates of their own."""
        found = [NO_CANDIDATES] * len(requests)
        usable = np.isfinite(vectors).all(axis=1)
        wanted = [max(self.settings.candidates, request.k) for request in requests]
        searched = [row for row, r in enumerate(requests) if usable[row] and r.candidates is None]
        if searched:
            most = max(wanted[row] for row in searched)
            positions, scores, healthy = self.retrieval.search(
                vectors[searched], most, [excluded[row] for row in searched]
            )
            for row, line, values, answered in zip(searched, positions, scores, healthy, strict=True):
                kept = line[: wanted[row]] >= 0
                found[row] = Candidates(line[: wanted[row]][kept], values[: wanted[row]][kept])
                if not answered:
                    notes[row].append("index_unavailable")
        for row, request in enumerate(requests):
            if usable[row] and request.candidates is not None:
                allowed = self.catalogue.known(request.candidates) - excluded[row]
                found[row] = self._scored(sorted(p for p in allowed if self.catalogue.available[p]), vectors[row])
        return found

    def _scored(self, positions: Sequence[int], vector: np.ndarray) -> Candidates:
        chosen = np.array(positions, np.int64)
        scores = self.retrieval.exact.vectors[chosen] @ vector
        order = np.argsort(-scores, kind="stable")
        return Candidates(chosen[order], scores[order])

    def _heads(
        self,
        requests: Sequence[Request],
        features: Sequence[QueryFeatures],
        inputs: Mapping[str, np.ndarray],
        candidates: Sequence[Candidates],
        notes: Notes,
    ) -> list[dict[str, np.ndarray]]:
        """The objectives' probabilities of every candidate: one ranker call for all requests."""
        counts = [len(c.positions) for c in candidates]
        if not sum(counts):
            return [{} for _ in requests]
        try:
            positions = np.concatenate([c.positions for c in candidates])
            request = np.repeat(np.arange(len(requests)), counts)
            scores = np.concatenate([c.scores for c in candidates])
            pair = pair_features(self._items, self._pair_queries(requests, features), request, positions, scores)
            heads = self._ranker.probabilities(inputs, positions, pair, request)
            if not all(np.isfinite(values).all() for values in heads.values()):
                raise ArithmeticError("the ranker gave numbers that are none")
        except Exception as error:
            logger.warning("ranker unavailable: %s: %s", type(error).__name__, error)
            for note, count in zip(notes, counts, strict=True):
                if count:
                    note.append("ranker_unavailable")
            return [{} for _ in requests]
        ends = np.cumsum(counts)[:-1]
        split = {head: np.split(values, ends) for head, values in heads.items()}
        return [{head: parts[row] for head, parts in split.items()} for row in range(len(requests))]

    def _pair_queries(self, requests: Sequence[Request], features: Sequence[QueryFeatures]) -> list[PairQuery]:
        return [
            PairQuery.of(r.timestamp, f.tokens, f.query["query_since_last"], self._items)
            for r, f in zip(requests, features, strict=True)
        ]

    def _ranking(
        self,
        candidates: Candidates,
        heads: Mapping[str, np.ndarray],
        excluded: frozenset[int],
        state: UserState,
        notes: Sequence[str],
        features: QueryFeatures,
    ) -> Ranking:
        """Orders candidates by the weighted product of the heads; ties, and all without heads, as retrieved."""
        scores = candidates.scores
        if heads:
            scores = np.prod([values ** self.settings.weights.get(head, 1.0) for head, values in heads.items()], axis=0)
        order = np.argsort(-scores, kind="stable")
        raw = {**features.user, **features.query}
        return Ranking(candidates, order, scores, heads, excluded, state, tuple(dict.fromkeys(notes)), raw)
