"""What the models say: a vector of each query, and the probabilities of its candidates."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from souk.pair_query import PairQuery
from souk.pairs import pair_features
from souk.serving.budget import Budget
from souk.serving.loaded import Loaded
from souk.serving.ranking import Candidates, by_request
from souk.serving.seldom import Seldom
from souk.serving.users import Notes
from souk.stages import Stage, staged

seldom = Seldom(logging.getLogger(__name__))


@staged("query_tower")
def query_vectors(parts: Loaded, inputs: Mapping[str, np.ndarray], budget: Budget, notes: Notes) -> np.ndarray:
    """Query vectors `[B, dim]`; NaN where there is none."""
    try:
        tower, guard = parts.query_tower, parts.guards.query_tower
        vectors = guard.call(lambda: tower.vectors(inputs), budget.half(), tower.ends)
    except Exception as error:
        seldom.warning("query tower unavailable: %s: %s", type(error).__name__, error)
        vectors = np.full((len(notes), parts.retrieval.exact.vectors.shape[1]), np.nan, np.float32)
    for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1)).tolist():
        notes[row].append("query_tower_unavailable")
    return vectors


def probabilities(
    parts: Loaded,
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
        pair = staged("pair_features")(pair_features)(parts.items, queries, request, positions, np.concatenate(scores))
        broken = np.isin(request, request[~np.isfinite(pair).all(axis=1)])
        if broken.any():  # by no fault of the others, in whose sums it would be
            pair[broken] = 0
        ranker, guard = parts.ranker, parts.guards.ranker
        with Stage("ranker"):
            heads = guard.call(
                lambda: ranker.probabilities(inputs, positions, pair, request), budget.rest(), ranker.ends
            )
    except Exception as error:
        seldom.warning("ranker unavailable: %s: %s", type(error).__name__, error)
        for note, count in zip(notes, counts, strict=True):
            if count:
                note.append("ranker_unavailable")
        return [{} for _ in queries]
    if broken.any():
        heads = {head: np.where(broken, np.nan, values) for head, values in heads.items()}
    found = by_request(heads, counts)
    for row, own in enumerate(found):
        if not all(np.isfinite(values).all() for values in own.values()):
            seldom.warning("the %s gave numbers that are none", "ranker")
            found[row] = {}
            notes[row].append("ranker_unavailable")
    return found
