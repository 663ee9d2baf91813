"""Items like one item: what lies near its vector, and what others went on to after it.

Nobody is known who could be ranked for, so neither tower nor ranker is asked: the order is that of likeness. The two
lists are put together by reciprocal ranks, score(j) = sum over the lists of 1 / (60 + place of j) (Cormack, Clarke and
Büttcher 2009, Reciprocal Rank Fusion), since their own scores have no common scale: what both bring stands before what
one does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from souk.candidates import TOWERS, merged
from souk.items import ItemTable
from souk.rerank import Reranker
from souk.serving.budget import Budget, by_turns
from souk.serving.catalogue import Catalogue
from souk.serving.ranking import NO_CANDIDATES, Candidates, Ranking, Settings, noted
from souk.serving.request import Request
from souk.serving.retrieval import Retrieval
from souk.slate_score import LEAST
from souk.state import UserState

logger = logging.getLogger(__name__)
FOLLOWERS = "co_visitation"
SMOOTH = 60  # of the ranks: ibid.
LEAST_LENGTH = 1e-9  # of a vector that is divided by its length
Rank = Callable[[Sequence[Request]], list[Ranking]]


def each_by_its_kind(requests: Sequence[Request], similar: Rank, other: Rank) -> list[tuple[Request, Ranking]]:
    """The requests of a batch, of which some ask for similar items, with their rankings: two calls at most."""
    kinds = [request.similar for request in requests]
    rankings = by_turns(requests, kinds, lambda is_similar, own: (similar if is_similar else other)(own))
    return list(zip(requests, rankings, strict=True))


@dataclass(frozen=True)
class Similar:
    """Ranks the items that are like one item.

    Args:
        catalogue: the items.
        items: their vectors, and what follows each.
        retrieval: the index over the vectors.
        reranker: the rules of the slate as a whole.
        settings: how many candidates there are.
    """

    catalogue: Catalogue
    items: ItemTable
    retrieval: Retrieval
    reranker: Reranker
    settings: Settings

    def rank(self, requests: Sequence[Request]) -> list[Ranking]:
        """The ranking of each request; one search in the index for all.

        An item that the catalogue does not have is no mistake of the caller's, who may know of it before this server
        does: its ranking is empty, so that the slate is of what is popular, and `unknown_item` says so.
        """
        places = [self.catalogue.positions.get(request.item_id, -1) for request in requests]
        excluded = [
            frozenset(self.catalogue.known(request.exclude).union([place] * (place >= 0)))
            for request, place in zip(requests, places, strict=True)
        ]
        notes = [noted(request, self.catalogue) for request in requests]
        near = self._near(requests, places, excluded, notes)
        return [
            self._ranking(request, place, excluded[row], near[row], notes[row])
            for row, (request, place) in enumerate(zip(requests, places, strict=True))
        ]

    def _near(
        self,
        requests: Sequence[Request],
        places: Sequence[int],
        excluded: Sequence[frozenset[int]],
        notes: Sequence[list[str]],
    ) -> list[np.ndarray]:
        """The items nearest to each request's own, nearest first."""
        found = [np.zeros(0, np.int64)] * len(requests)
        searched = [row for row, r in enumerate(requests) if places[row] >= 0 and r.candidates is None]
        if searched:
            positions, _, healthy = self.retrieval.search(
                self.items.vectors[[places[row] for row in searched]],
                max(self._wanted(requests[row]) for row in searched),
                [excluded[row] for row in searched],
                Budget([requests[row] for row in searched]).rest(),
                [self.catalogue.matching(requests[row].filter, requests[row].timestamp) for row in searched],
            )
            for row, line, answered in zip(searched, positions, healthy, strict=True):
                found[row] = self._nearest(line[line >= 0], places[row])[: self._wanted(requests[row])]
                if not answered:
                    notes[row].append("index_unavailable")
        return found

    def _ranking(
        self, request: Request, place: int, excluded: frozenset[int], near: np.ndarray, notes: list[str]
    ) -> Ranking:
        if place < 0:
            notes.append("unknown_item")
        candidates, logs = NO_CANDIDATES, np.zeros(0)
        if place >= 0:
            candidates, logs = self._fused(request, place, excluded, near)
        ranked = np.argsort(-logs, kind="stable")
        reranker = self.reranker.named(request.treatment.rerank)
        worth = logs[ranked] - logs.max(initial=LEAST)  # of the first one's, as probabilities are of 1
        order = reranker.order(candidates.positions[ranked], worth, request.timestamp, request.k)
        return Ranking(
            candidates=candidates,
            order=ranked[order],
            ranked=ranked,
            log_scores=logs,
            heads={},
            excluded=excluded,
            state=UserState(""),
            degraded=tuple(dict.fromkeys(notes)),
            features={},
        )

    def _fused(
        self, request: Request, place: int, excluded: frozenset[int], near: np.ndarray
    ) -> tuple[Candidates, np.ndarray]:
        """The candidates, and the logarithms of their scores `[C]` float64."""
        allowed = self.catalogue.allowed(excluded, request.filter, request.timestamp)
        _, found, weights = self.items.rules.gather(np.array([place]))
        followers = found[np.argsort(-weights, kind="stable")].astype(np.int64)
        followers = followers[allowed(followers)]
        if request.candidates is not None:
            named = np.array(sorted(self.catalogue.known(request.candidates)), np.int64)
            named = named[allowed(named)]
            near, followers = self._nearest(named, place), followers[np.isin(followers, named)]
        lists = {TOWERS: near, FOLLOWERS: followers}
        both = merged(lists, len(near) + len(followers))
        scores = np.zeros(len(self.catalogue.ids))
        for own in lists.values():
            scores[own] += 1 / (SMOOTH + np.arange(1, len(own) + 1))
        names = both.names() if request.candidates is None else ["candidates"] * len(both.positions)
        return Candidates(both.positions, None, names), np.log(scores[both.positions])

    def _nearest(self, positions: np.ndarray, place: int) -> np.ndarray:
        """Some items by their cosine with one, the greatest first. By products new ones, which may be shorter, would
        stand behind."""
        vectors = self.items.vectors[positions]
        lengths = np.maximum(np.linalg.norm(vectors, axis=1), LEAST_LENGTH)
        return np.asarray(positions[np.argsort(-(vectors @ self.items.vectors[place]) / lengths, kind="stable")])

    def _wanted(self, request: Request) -> int:
        return max(self.settings.candidates, request.k)
