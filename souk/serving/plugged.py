"""Classes of one's own on the request path: made of what a release names, guarded, and checked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import numpy as np

from souk import plugs
from souk.errors import SoukError
from souk.items import ItemTable
from souk.release.bundle import BundleSettings
from souk.serving.budget import Budget
from souk.serving.catalogue import Catalogue
from souk.serving.dependency import Dependency
from souk.serving.filters import nobody
from souk.serving.request import Request
from souk.serving.seldom import Seldom
from souk.serving.users import Notes
from souk.stages import Stage
from souk.state import UserState

seldom = Seldom(logging.getLogger(__name__))
Lists = Mapping[str, np.ndarray]  # by retriever, positions, best first


def seen(catalogue: Catalogue, items: ItemTable) -> plugs.Items:
    """The items as a class of one's own sees them."""
    filters = catalogue.filters
    return plugs.Items(
        catalogue.ids,
        catalogue.positions,
        catalogue.titles,
        catalogue.available,
        items.vectors,
        items.created_at,
        np.expm1(items.counters[:, 0]),
        filters.numbers if filters else {},
        filters.having if filters else lambda column, word: nobody(len(catalogue.ids)),
        items.available_until,
    )


def nothing() -> plugs.Items:
    """What nobody looks at, where a release names no class."""
    none, vectors = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    return plugs.Items(
        (), {}, (), none.astype(bool), vectors, none, none, {}, lambda column, word: none.astype(bool), none
    )


def _unavailable(name: str, error: Exception) -> None:
    cause = error.__cause__ or error
    seldom.warning("%s unavailable: %s", name, type(cause).__name__)  # its text may quote a user


@dataclass(frozen=True)
class OwnRanker:
    """Stands where `souk.serving.signatures.Ranker` does."""

    ranker: plugs.Ranker
    items: plugs.Items
    turn: threading.Lock = field(default_factory=threading.Lock)
    ends = False  # nobody knows how long another's class takes

    def probabilities(
        self, query: Mapping[str, np.ndarray], positions: np.ndarray, pair: np.ndarray, request: np.ndarray
    ) -> dict[str, np.ndarray]:
        """As there; NaN for a request that it is wrong about, or fails at, where it is well about others.

        Raises:
            Exception: it fails at all of them.
        """
        with self.turn:
            try:
                return self._asked(query, positions, pair, request)
            except Exception:
                rows = np.unique(request)
                if len(rows) == 1:
                    raise
            return self._one_by_one(query, positions, pair, request, rows)

    def _asked(
        self, query: Mapping[str, np.ndarray], positions: np.ndarray, pair: np.ndarray, request: np.ndarray
    ) -> dict[str, np.ndarray]:
        found = self.ranker.probabilities(query, self.items, positions, request, pair)
        return plugs.as_heads(found, len(positions))

    def _one_by_one(
        self,
        query: Mapping[str, np.ndarray],
        positions: np.ndarray,
        pair: np.ndarray,
        request: np.ndarray,
        rows: np.ndarray,
    ) -> dict[str, np.ndarray]:
        heads: dict[str, np.ndarray] = {}
        failure: Exception | None = None
        for row in rows.tolist():
            own = request == row
            alone = {name: values[row : row + 1] for name, values in query.items()}
            try:
                found = self._asked(alone, positions[own], pair[own], np.zeros(own.sum(), request.dtype))
            except Exception as error:
                failure = error
                continue
            for name, values in found.items():
                heads.setdefault(name, np.full(len(positions), np.nan, np.float32))[own] = values
        try:
            if failure:
                if not heads:
                    raise failure
                _unavailable("ranker", failure)
            return heads
        finally:  # it knows where it was raised, and would hold what holds it
            del failure

    def with_items(self, where: np.ndarray, rows: Mapping[str, np.ndarray]) -> OwnRanker:
        """Itself: it is given the items with each call (`Plugged.over`)."""
        return self

    def item_value(self, name: str, position: int) -> Any:
        """It has none of its own."""
        return None

    def explain(self, *given: Any) -> NoReturn:
        """Refuses: of another's class nobody knows the gradients."""
        raise SoukError("a ranker of Souk to explain", "one of the config's own", "Ask for slates instead.")


@dataclass(frozen=True)
class Plugged:
    """The classes of a release.

    Args:
        items: as they are.
        retrievers: by name.
        own_ranker: None where the release's model ranks.
        shares: by retriever; equal places are taken after Souk's own sources.
        guards: by retriever.
        turns: held while a class is called, by retriever and "" for the ranker: they are never called twice at once.
    """

    items: plugs.Items = field(default_factory=nothing)
    retrievers: Mapping[str, plugs.Retriever] = field(default_factory=dict)
    own_ranker: plugs.Ranker | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    guards: Mapping[str, Dependency] = field(default_factory=dict)
    turns: Mapping[str, threading.Lock] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: BundleSettings, items: plugs.Items, patience: float) -> Plugged:
        """Those that a bundle names.

        Args:
            settings: of the bundle.
            items: its own.
            patience: the longest that one may take, seconds.

        Raises:
            SoukError: a class is missing, or is none of the right kind.
        """
        named, ranker = settings.retrievers, settings.ranker
        retriever, own = plugs.Retriever, plugs.Ranker
        return cls(
            items,
            {name: plugs.made(of["use"], retriever, items, of["options"]) for name, of in named.items()},  # type: ignore[type-abstract]
            plugs.made(ranker["use"], own, items, ranker["options"]) if ranker else None,  # type: ignore[type-abstract]
            {name: of["share"] for name, of in named.items()},
            {name: Dependency(name, patience) for name in named},
            {name: threading.Lock() for name in ("", *named)},
        )

    def over(self, catalogue: Catalogue, items: ItemTable) -> Plugged:
        """The same classes over other items."""
        return replace(self, items=seen(catalogue, items)) if self.retrievers or self.own_ranker else self

    @property
    def ranker(self) -> OwnRanker | None:
        """What ranks in the place of the release's model."""
        return OwnRanker(self.own_ranker, self.items, self.turns[""]) if self.own_ranker else None

    def lists(
        self,
        requests: Sequence[Request],
        states: Sequence[UserState],
        vectors: np.ndarray,
        wanted: int,
        budget: Budget,
        notes: Notes,
    ) -> list[Lists]:
        """What each retriever brings for each request. One that fails, or for which no time is left, brings nothing."""
        found: list[dict[str, np.ndarray]] = [{} for _ in requests]
        asked = [row for row, request in enumerate(requests) if request.candidates is None]
        if not self.retrievers or not asked:
            return list(found)
        queries = [self._query(requests[row], states[row], vectors[row]) for row in asked]
        for name in self.retrievers:
            count = max(1, int(wanted * self.shares[name]))

            def all_of_them(name: str = name, count: int = count) -> list[np.ndarray | None]:
                with self.turns[name]:
                    return self._brought(name, queries, count)

            brought: Sequence[np.ndarray | None] = [None] * len(asked)
            try:
                with Stage(name):
                    brought = self.guards[name].call(all_of_them, budget.half())
            except Exception as error:
                _unavailable(name, error)
            for row, positions in zip(asked, brought, strict=True):
                if positions is None:
                    notes[row].append(f"{name}_unavailable")
                else:
                    found[row][name] = positions
        return list(found)

    def _brought(self, name: str, queries: Sequence[plugs.Query], count: int) -> list[np.ndarray | None]:
        """What a retriever brings for each query; None for those that it fails at.

        Raises:
            Exception: it fails at all of them.
        """
        brought: list[np.ndarray | None] = []
        for query in queries:
            try:
                positions = self.retrievers[name].retrieve(query, self.items, count)
                brought.append(plugs.as_positions(positions, len(self.items.ids)))
            except Exception as error:
                if len(queries) == 1 or (query is queries[-1] and not any(own is not None for own in brought)):
                    raise
                _unavailable(name, error)
                brought.append(None)
        return brought

    def allowed(self, lists: Lists, shown: Any, count: int) -> dict[str, np.ndarray]:
        """The first of each list that may be shown, by its share of `count`."""
        return {name: own[shown(own)][: max(1, int(count * self.shares[name]))] for name, own in lists.items()}

    @staticmethod
    def _query(request: Request, state: UserState, vector: np.ndarray) -> plugs.Query:
        known = vector if np.isfinite(vector).all() else None
        history = tuple(event for event in state.events if event.timestamp < request.timestamp)
        return plugs.Query(request.user_id, request.timestamp, history, state.profile, request.context, known)
