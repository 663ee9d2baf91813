"""The protocol: every model ranks the whole catalogue for the same queries.

Metrics are averaged within a user, then over users, so that a user of many events counts as much as one of few. There
are no sampled negatives: they change the order of models (Krichene and Rendle 2020).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from souk.evaluation.baselines import Scorer
from souk.evaluation.queries import Catalogue, Query
from souk.metrics import Floats, Ints, mean_by_user, query_metric, target_ranks, top
from souk.progress import seldom

METRICS = ("hr@10", "ndcg@10", "mrr", "recall@10", "recall@50", "recall@100")
TOP = 10
RECALL_AT = (1, 2, 5, 10, 20, 50, 100, 200)
CELLS = 8_000_000  # scores held at once of each model
TOGETHER = 512  # queries of a batch at most
CALL = 64  # that a batch is a multiple of where it can: as many are asked at once (souk.evaluation.twins)
SEED = 20


@dataclass(frozen=True)
class Ranking:
    """What one model made of the queries.

    Args:
        name: the model.
        ranks: per query, the rank of each target.
        new_ranks: per query, the rank of each target that the user never engaged with before, among all such items.
        top: `[queries, places]` positions of the first items; -1 where the catalogue ends. A figure of what is shown is
            named by its width: `coverage@10`.
    """

    name: str
    ranks: list[Floats]
    new_ranks: list[Floats]
    top: Ints


@dataclass(frozen=True)
class Users:
    """The users of queries.

    Args:
        names: sorted.
        of_query: `[queries]`, the place of each query's user in `names`.
    """

    names: tuple[str, ...]
    of_query: Ints

    @classmethod
    def of(cls, queries: Sequence[Query]) -> Users:
        """Those who ask `queries`."""
        names = sorted({query.user_id for query in queries})
        place = {name: index for index, name in enumerate(names)}
        return cls(tuple(names), np.array([place[query.user_id] for query in queries], dtype=np.int64))

    @property
    def weights(self) -> Floats:
        """`[queries]`, the share of each query where users weigh the same."""
        return 1.0 / (np.bincount(self.of_query, minlength=len(self.names))[self.of_query] * max(1, len(self.names)))


def rank(scorer: Scorer, queries: Sequence[Query], catalogue: Catalogue) -> Ranking:
    """Ranks the whole catalogue, but for what is not available, a query excludes, or was not there yet or any more."""
    return rank_all([scorer], queries, catalogue)[0]


def rank_all(
    scorers: Sequence[Scorer],
    queries: Sequence[Query],
    catalogue: Catalogue,
    tell: Callable[[int], object] = lambda done: None,
    beside: Sequence[Scorer] = (),
    places: int = TOP,
) -> list[Ranking]:
    """`rank` of each model; all get a batch before the next one, so that they can share what they compute of it.

    Args:
        scorers: the models, asked one after the other, of every other batch in reverse: their times are compared.
        queries: asked of each.
        catalogue: the items.
        tell: is told now and then how many queries are answered.
        beside: models that share nothing with the others: a thread of their own asks them meanwhile.
        places: the first items that are kept of each query.
    """
    due, gone = seldom(), ~catalogue.available
    every = [*scorers, *beside]
    found = [Ranking(scorer.name, [], [], np.full((len(queries), places), -1, np.int64)) for scorer in every]
    pairs = [*zip(every, found, strict=True)]

    def ask(own: Sequence[tuple[Scorer, Ranking]], part: _Part) -> None:
        for scorer, ranking in own:
            part.add(np.array(scorer.score(part.queries), dtype=np.float32), ranking)

    with ThreadPoolExecutor(1) as other:
        first = pairs[: len(scorers)]
        for start, batch in _batches(queries, len(catalogue.ids)):
            kept_out = [np.flatnonzero(gone | catalogue.absent(query)) for query in batch]
            part = _Part(start, batch, kept_out, [np.unique(query.history) for query in batch])
            meanwhile = other.submit(ask, pairs[len(scorers) :], part) if beside else None
            ask(first, part)
            first = first[::-1]  # what stands beside burdens the first of them more, and what they share falls to it
            if meanwhile:
                meanwhile.result()
            if due():
                tell(start + len(batch))
    return found


@dataclass(frozen=True)
class _Part:
    """Queries that are asked together: from which on, which items each keeps out, and which its user knows."""

    start: int
    queries: Sequence[Query]
    kept_out: Sequence[Ints]
    known: Sequence[Ints]

    def add(self, scores: Floats, ranking: Ranking) -> None:
        """Takes a model's scores, `[queries, items]`, which are written to."""
        for row, query in enumerate(self.queries):
            line = scores[row]
            line[query.excluded] = -np.inf
            line[self.kept_out[row]] = -np.inf
            ranks, new = _ranks(line, query.targets, self.known[row])
            ranking.ranks.append(ranks)
            ranking.new_ranks.append(new)
            first = top(line, ranking.top.shape[1])
            ranking.top[self.start + row, : len(first)] = first


def _ranks(scores: Floats, targets: Ints, known: Ints) -> tuple[Floats, Floats]:
    """The ranks of targets, and those of the new ones among all that is new: of the `known` items, ascending, each that
    stands before a target makes room for it."""
    ranks, new = target_ranks(scores, targets), np.isin(targets, known, invert=True)
    own, theirs = scores[targets[new]], scores[known]
    in_order = np.sort(theirs)
    end = np.searchsorted(in_order, own, "right")
    before = len(known) - end
    for place in np.flatnonzero(end > np.searchsorted(in_order, own)):
        before[place] += np.searchsorted(known[theirs == own[place]], targets[new][place])
    return ranks, ranks[new] - before


def _batches(queries: Sequence[Query], items: int) -> Iterator[tuple[int, Sequence[Query]]]:
    """As a rule an even number of batches, so that each of two models is as often the first."""
    most = min(TOGETHER, max(1, CELLS // max(1, items)))
    even = max(2, 2 * math.ceil(len(queries) / (2 * most)))
    size = min(most, CALL * max(1, math.ceil(len(queries) / (even * CALL))))
    for start in range(0, len(queries), size):
        yield start, queries[start : start + size]


def new_to_user(query: Query) -> np.ndarray:
    """`[targets]` bool: whether the user never engaged with the target before."""
    return np.isin(query.targets, query.history, invert=True)


def recall_curves(rankings: Sequence[Ranking], users: Users) -> dict[str, list[float]]:
    """Per model, recall within the first `RECALL_AT` items, averaged by user."""
    count = len(users.names)
    return {
        ranking.name: [
            float(mean_by_user(query_metric(f"recall@{k}", ranking.ranks), users.of_query, count).mean())
            if count
            else 0.0
            for k in RECALL_AT
        ]
        for ranking in rankings
    }
