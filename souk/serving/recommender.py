"""The request path: users → query vectors → candidates → probabilities → slates, each stage once for a whole batch.

A stage that fails, or that its requests have no time for, hands on less and says so in `degraded`; the next goes on.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from souk.index.interface import Index
from souk.release.bundle import Bundle
from souk.serving.budget import Budget, Guards
from souk.serving.finding import candidates
from souk.serving.inputs import pair_query, raw_features
from souk.serving.kept_out import KeptOut
from souk.serving.loaded import Loaded
from souk.serving.ranking import Ranking, noted, ordered
from souk.serving.request import Request
from souk.serving.scoring import probabilities, query_vectors
from souk.serving.similar import Similar, each_by_its_kind
from souk.serving.slate import Slate
from souk.serving.users import Store, known_states
from souk.state import UserState
from souk.state import noted as noted_in
from souk.withheld import hidden


class Recommender(Loaded):
    """Recommends items to users."""

    @classmethod
    def load(cls, bundle: Bundle, index: Index | None, store: Store | None, guards: Guards | None = None) -> Self:
        """As `Loaded.load`; calls each model once, so that the first request is as fast as the others."""
        recommender = super().load(bundle, index, store, guards)
        warm = copy.copy(recommender)
        # Without ends: where all items have ended, no model would be called.
        warm.catalogue = replace(recommender.catalogue, lifetimes=None)
        warm.rank([Request("", recommender.settings.candidates, 0, state=UserState(""))])
        return recommender

    def recommend(self, requests: Sequence[Request]) -> list[Slate]:
        """A slate for each request: never fewer than `k` items while the catalogue has that many eligible ones."""
        similar = Similar(self.catalogue, self.items, self.retrieval, self.reranker, self.settings)
        return [self.slates.slate(*each) for each in each_by_its_kind(requests, similar.rank, self.rank)]

    def safe(self, requests: Sequence[Request]) -> list[Slate]:
        """Slates without any model or store: what is popular with everyone, and may be shown."""
        own = [hidden(noted_in(UserState(""), request.events, self.spec)) for request in requests]
        return [self.slates.safe(*each) for each in zip(requests, own, strict=True)]

    def rank(self, requests: Sequence[Request]) -> list[Ranking]:
        """The ranked candidates of each request, without the fill that makes a slate whole."""
        notes, budget = [noted(request, self.catalogue) for request in requests], Budget(requests)
        users = self.guards.users
        states = known_states(requests, self.store, self.spec, notes, lambda read: users.call(read, budget.half()))
        features, inputs = raw_features(states, requests, self.spec)
        out = [KeptOut.of(r, state, self.catalogue, self.spec) for r, state in zip(requests, states, strict=True)]
        excluded = [own.all for own in out]
        vectors = query_vectors(self, inputs, budget, notes)
        queries = [
            replace(pair_query(state, f, r.timestamp, self.items, self.spec), found={})
            for r, state, f in zip(requests, states, features, strict=True)
        ]
        brought = self.plugged.lists(requests, states, vectors, self.settings.candidates, budget, notes)
        found = candidates(self, requests, queries, excluded, vectors, brought, budget, notes)
        heads = probabilities(self, queries, inputs, found, budget, notes)
        return [
            Ranking(
                candidates=found[row],
                **ordered(request, found[row], heads[row], self.settings, self.reranker),
                heads=heads[row],
                excluded=excluded[row],
                tired=out[row].tired,
                state=states[row],
                degraded=tuple(dict.fromkeys(notes[row])),
                features={**features[row].user, **features[row].query},
            )
            for row, request in enumerate(requests)
        ]
