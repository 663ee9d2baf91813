"""The candidates of requests: what the towers' index and the other sources bring, merged."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from souk.candidates import TOWERS, merged
from souk.pair_query import PairQuery
from souk.serving.budget import Budget
from souk.serving.loaded import Loaded
from souk.serving.plugged import Lists
from souk.serving.ranking import Candidates, named
from souk.serving.request import Request
from souk.serving.seldom import Seldom
from souk.serving.users import Notes
from souk.stages import staged

seldom = Seldom(logging.getLogger(__name__))


def candidates(
    parts: Loaded,
    requests: Sequence[Request],
    queries: Sequence[PairQuery],
    excluded: Sequence[frozenset[int]],
    vectors: np.ndarray,
    brought: Sequence[Lists],
    budget: Budget,
    notes: Notes,
) -> list[Candidates]:
    """What the ranker is to look at: of all sources, or what the request names."""
    towers = near(parts, requests, excluded, vectors, budget, notes)
    found = []
    for row, (request, query) in enumerate(zip(requests, queries, strict=True)):
        vector = vectors[row] if np.isfinite(vectors[row]).all() else None
        allowed = parts.catalogue.allowed(excluded[row], request.filter, request.timestamp)
        if request.candidates is not None:
            found.append(named(parts.catalogue, parts.retrieval.exact.vectors, request.candidates, vector, allowed))
            continue
        count = wanted(parts, request)
        lists, failed = parts.sources.listed(query, vector, count, allowed, seldom.warning)
        notes[row].extend(f"{name}_unavailable" for name in failed)
        lists |= parts.plugged.allowed(brought[row], allowed, count)
        both = merged({TOWERS: towers[row], **lists}, count, {**parts.sources.shares, **parts.plugged.shares})
        found.append(Candidates(both.positions, _scores(parts, both.positions, vector), both.names()))
    return found


def wanted(parts: Loaded, request: Request) -> int:
    """How many candidates a request gets."""
    return max(parts.settings.candidates, request.k)


@staged("index")
def near(
    parts: Loaded,
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
        most = max(wanted(parts, requests[row]) for row in searched)
        positions, _, healthy = parts.retrieval.search(
            vectors[searched],
            most,
            [excluded[row] for row in searched],
            budget.half(),
            [parts.catalogue.matching(requests[row].filter, requests[row].timestamp) for row in searched],
        )
        for row, line, answered in zip(searched, positions, healthy, strict=True):
            own = line[: wanted(parts, requests[row])]
            found[row] = own[own >= 0]
            if not answered:
                notes[row].append("index_unavailable")
    return found


def _scores(parts: Loaded, positions: np.ndarray, vector: np.ndarray | None) -> np.ndarray | None:
    return None if vector is None else parts.retrieval.exact.vectors[positions] @ vector
