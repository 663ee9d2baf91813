"""The request path: users → query vectors → candidates → probabilities → slates, each stage once for a whole batch.

A stage that fails, or that its requests have no time for, hands on less and says so in `degraded`; the next goes on.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from souk.candidates import TOWERS, Sources, merged
from souk.config import Rerank
from souk.index.exact import ExactIndex
from souk.index.interface import Index
from souk.items import ItemTable
from souk.pairs import PairQuery, pair_features
from souk.release.bundle import Bundle
from souk.rerank import Reranker
from souk.serving.budget import Budget, Guards
from souk.serving.catalogue import Catalogue
from souk.serving.filters import Filters
from souk.serving.inputs import item_inputs, raw_features
from souk.serving.kept_out import KeptOut
from souk.serving.plugged import Lists, OwnRanker, Plugged, seen
from souk.serving.ranking import Candidates, Ranking, Settings, SlateMaker, by_request, named, ordered
from souk.serving.request import Request
from souk.serving.retrieval import Retrieval
from souk.serving.signatures import QueryTower, Ranker
from souk.serving.similar import Similar, each_by_its_kind
from souk.serving.slate import Slate
from souk.serving.users import Notes, Store, known_states
from souk.spec import FeatureSpec
from souk.stages import staged
from souk.state import UserState

logger = logging.getLogger(__name__)


class Recommender:
    """Recommends items to users.

    Args:
        spec: the release's feature specification.
        settings: what the bundle says about its slates.
        catalogue: the items.
        items: what pairs of query and item are described with.
        query_tower: loaded.
        ranker: loaded.
        reranker: what reorders its candidates.
        retrieval: the index and its fallback.
        store: user states; None where requests bring their own.
        guards: what stands before each part that may hang or fail.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        settings: Settings,
        catalogue: Catalogue,
        items: ItemTable,
        query_tower: QueryTower,
        ranker: Ranker | OwnRanker,
        reranker: Reranker,
        retrieval: Retrieval,
        store: Store | None,
        guards: Guards,
    ) -> None:
        self.guards = guards
        self.spec = spec
        self.settings = settings
        self.catalogue = catalogue
        self.store = store
        self.reranker = reranker
        self.retrieval = retrieval
        self._items = items
        self._sources = Sources(items)
        self._query_tower = query_tower
        self._ranker = ranker
        self._plugged = Plugged()
        self._slates = SlateMaker(catalogue, items.segments, settings.release)

    @classmethod
    def load(
        cls, bundle: Bundle, index: Index | None, store: Store | None, guards: Guards | None = None
    ) -> Recommender:
        """Reads the models of a bundle and calls each once, so that the first request is as fast as the others.

        Args:
            bundle: a bundle, or a release.
            index: over its vectors; None to search in process.
            store: user states of its spec; None where requests bring their own.
            guards: what stands before each part that may hang or fail; None for new ones.
        """
        guards = guards or Guards()
        columns = bundle.items.to_pydict()
        filters = Filters.of(columns, len(bundle.items), bundle.spec)
        catalogue = Catalogue.of(bundle.item_ids, bundle.titles, bundle.available, filters)
        settings = Settings(bundle.name, bundle.settings.objectives, bundle.settings.candidates)
        items = ItemTable.of(bundle.items, bundle.counters, bundle.vectors, bundle.spec, bundle.rules, bundle.segments)
        recommender = cls(
            spec=bundle.spec,
            settings=settings,
            catalogue=catalogue,
            items=items,
            query_tower=QueryTower(bundle.query_tower).load(),
            ranker=Ranker(bundle.ranker, item_inputs(columns, bundle.spec)).load(),
            reranker=Reranker.of(Rerank(**bundle.settings.rerank), items, bundle.items, bundle.spec),
            retrieval=Retrieval(index, ExactIndex(items.vectors, catalogue.available), guards.index),
            store=store,
            guards=guards,
        )
        recommender._plug(Plugged.of(bundle.settings, seen(catalogue, items), guards.query_tower.patience))
        recommender.rank([Request("", settings.candidates, 0, state=UserState(""))])
        return recommender

    def connected(self, index: Index | None, store: Store | None) -> Recommender:
        """The same models over another index and store."""
        other = copy.copy(self)
        other.retrieval, other.store = Retrieval(index, self.retrieval.exact, self.guards.index), store
        return other

    def with_items(self, rows: pa.Table, vectors: np.ndarray) -> Recommender:
        """The same models over a catalogue with other rows; this recommender stays as it is.

        Args:
            rows: of the item feature table, each item once: new content of known items, and new items.
            vectors: `[rows, dim]` float32, by the item tower.
        """
        other, listed = copy.copy(self), rows.to_pylist()
        other.catalogue = self.catalogue.with_items(listed)
        other._items = self._items.with_items(rows, vectors, self.spec)
        other._sources = self._sources.with_items(other._items)
        where = np.array([other.catalogue.positions[row["item_id"]] for row in listed], np.int64)
        other._ranker = self._ranker.with_items(where, item_inputs(rows.to_pydict(), self.spec))
        other._plug(self._plugged.over(other.catalogue, other._items))
        other.reranker = self.reranker.with_items(other._items, rows, where, self.spec)
        other.retrieval = self.retrieval.with_items(other._items.vectors, other.catalogue.available, where)
        other._slates = SlateMaker(other.catalogue, other._items.segments, self.settings.release)
        return other

    def _plug(self, plugged: Plugged) -> None:
        self._plugged, self._ranker = plugged, plugged.ranker or self._ranker

    @property
    def parts(self) -> tuple[ItemTable, QueryTower, Ranker | OwnRanker]:
        """What an explanation takes apart."""
        return self._items, self._query_tower, self._ranker

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """A slate for each request: never fewer than `k` items while the catalogue has that many eligible ones."""
        similar = Similar(self.catalogue, self._items, self.retrieval, self.reranker, self.settings)
        return [self._slates.slate(*each) for each in each_by_its_kind(requests, similar.rank, self.rank)]

    def safe(self, requests: Sequence[Request]) -> list[Slate]:
        """Slates without any model or store: what is popular with everyone, and may be shown."""
        return [self._slates.safe(request) for request in requests]

    def rank(self, requests: Sequence[Request]) -> list[Ranking]:
        """The ranked candidates of each request, without the fill that makes a slate whole."""
        notes, budget = [list(request.degraded) for request in requests], Budget(requests)
        users = self.guards.users
        states = known_states(requests, self.store, self.spec, notes, lambda read: users.call(read, budget.half()))
        features, inputs = raw_features(states, requests, self.spec)
        out = [KeptOut.of(r, state, self.catalogue, self.spec) for r, state in zip(requests, states, strict=True)]
        excluded = [own.all for own in out]
        vectors = self._vectors(inputs, budget, notes)
        queries = [
            replace(PairQuery.of(r.timestamp, f.tokens, f.query["query_since_last"], self._items, f.user), found={})
            for r, f in zip(requests, features, strict=True)
        ]
        brought = self._plugged.lists(requests, states, vectors, self.settings.candidates, budget, notes)
        candidates = self._candidates(requests, queries, excluded, vectors, brought, budget, notes)
        heads = self._heads(queries, inputs, candidates, budget, notes)
        return [
            Ranking(
                candidates=candidates[row],
                **ordered(request, candidates[row], heads[row], self.settings, self.reranker),
                heads=heads[row],
                excluded=excluded[row],
                tired=out[row].tired,
                state=states[row],
                degraded=tuple(dict.fromkeys(notes[row])),
                features={**features[row].user, **features[row].query},
            )
            for row, request in enumerate(requests)
        ]

    @staged("query_tower")
    def _vectors(self, inputs: Mapping[str, np.ndarray], budget: Budget, notes: Notes) -> np.ndarray:
        """Query vectors `[B, dim]`; NaN where there is none."""
        try:
            vectors = self.guards.query_tower.call(lambda: self._query_tower.vectors(inputs), budget.half())
        except Exception as error:
            logger.warning("query tower unavailable: %s: %s", type(error).__name__, error)
            vectors = np.full((len(notes), self.retrieval.exact.vectors.shape[1]), np.nan, np.float32)
        for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
            notes[row].append("query_tower_unavailable")
        return vectors

    def _candidates(
        self,
        requests: Sequence[Request],
        queries: Sequence[PairQuery],
        excluded: Sequence[frozenset[int]],
        vectors: np.ndarray,
        brought: Sequence[Lists],
        budget: Budget,
        notes: Notes,
    ) -> list[Candidates]:
        """What the ranker is to look at: of all sources, or what the request names."""
        near = self._near(requests, excluded, vectors, budget, notes)
        found = []
        for row, (request, query) in enumerate(zip(requests, queries, strict=True)):
            vector = vectors[row] if np.isfinite(vectors[row]).all() else None
            allowed = self.catalogue.allowed(excluded[row], request.filter)
            if request.candidates is not None:
                found.append(named(self.catalogue, self.retrieval.exact.vectors, request.candidates, vector, allowed))
                continue
            count = self._wanted(request)
            lists, failed = self._sources.listed(query, vector, count, allowed)
            notes[row].extend(f"{name}_unavailable" for name in failed)
            lists |= self._plugged.allowed(brought[row], allowed, count)
            both = merged({TOWERS: near[row], **lists}, count, self._plugged.shares)
            found.append(Candidates(both.positions, self._scores(both.positions, vector), both.names()))
        return found

    def _wanted(self, request: Request) -> int:
        return max(self.settings.candidates, request.k)

    @staged("index")
    def _near(
        self,
        requests: Sequence[Request],
        excluded: Sequence[frozenset[int]],
        vectors: np.ndarray,
        budget: Budget,
        notes: Notes,
    ) -> list[np.ndarray]:
        """The items nearest to each query vector: one index search for all requests without candidates of their own."""
        found = [np.zeros(0, np.int64)] * len(requests)
        usable = np.isfinite(vectors).all(axis=1)
        searched = [row for row, request in enumerate(requests) if usable[row] and request.candidates is None]
        if searched:
            most = max(self._wanted(requests[row]) for row in searched)
            positions, _, healthy = self.retrieval.search(
                vectors[searched],
                most,
                [excluded[row] for row in searched],
                budget.half(),
                [self.catalogue.matching(requests[row].filter) for row in searched],
            )
            for row, line, answered in zip(searched, positions, healthy, strict=True):
                own = line[: self._wanted(requests[row])]
                found[row] = own[own >= 0]
                if not answered:
                    notes[row].append("index_unavailable")
        return found

    def _scores(self, positions: np.ndarray, vector: np.ndarray | None) -> np.ndarray | None:
        return None if vector is None else self.retrieval.exact.vectors[positions] @ vector

    def _heads(
        self,
        queries: Sequence[PairQuery],
        inputs: Mapping[str, np.ndarray],
        candidates: Sequence[Candidates],
        budget: Budget,
        notes: Notes,
    ) -> list[dict[str, np.ndarray]]:
        """The objectives' probabilities of every candidate that the towers know: one ranker call for all requests."""
        scores = [np.zeros(0, np.float32) if c.scores is None else c.scores for c in candidates]
        counts = [len(own) for own in scores]
        if not sum(counts):
            return [{} for _ in queries]
        try:
            positions = np.concatenate([c.positions for c in candidates if c.scores is not None])
            request = np.repeat(np.arange(len(queries)), counts)
            pair = staged("pair_features")(pair_features)(
                self._items, queries, request, positions, np.concatenate(scores)
            )
            heads = staged("ranker")(self.guards.ranker.call)(
                lambda: self._ranker.probabilities(inputs, positions, pair, request), budget.rest()
            )
            if not all(np.isfinite(values).all() for values in heads.values()):
                raise ArithmeticError("the ranker gave numbers that are none")
        except Exception as error:
            logger.warning("ranker unavailable: %s: %s", type(error).__name__, error)
            for note, count in zip(notes, counts, strict=True):
                if count:
                    note.append("ranker_unavailable")
            return [{} for _ in queries]
        return by_request(heads, counts)
