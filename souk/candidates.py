"""Candidates of several sources, merged: one definition, for training, evaluation and serving.

Each source lists its best items. The r-th of a source with share s has the place r / s; an item that several bring has
the best of its places. The ranker looks at the first of the merged list, whichever source they came from. How large the
share of fresh items is, the data says: that of the engagements that go to them.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from souk.affinity import AFFINITY, LATELY, affinities, lately
from souk.items import ItemTable
from souk.matches import LOOKED, ByValue, matched, strongest
from souk.pair_query import PairQuery
from souk.schema import DAY_MS
from souk.sources.freshness import FRESH_DAYS
from souk.stages import Stage
from souk.valued import Valued

logger = logging.getLogger(__name__)
TOWERS = "two_tower"
SHARES = {TOWERS: 1.0, "co_visitation": 1.0, "buy_again": 0.5, "segment_popular": 0.1, "fresh": 0.1, "matched": 1.0}
FRESH = 5000  # of the fresh items the newest are compared
ALIKE = 1.5  # how much a match counts, beside the logarithm of how often an item is taken lately,
TASTE = 0.5  # and the sum of the affinities, which overlap
PREFERRED = 32  # values by which candidates of a past are looked up
OWN_VALUES = 1e-2  # share of the window's events that a value counts as if it had, whether any has it or not
COSINE = 5.0  # half of the sharpness that the towers' softmax has over some ten thousand items
Allowed = Callable[[np.ndarray], np.ndarray]  # positions → which of them may be shown
Scored = tuple[np.ndarray, np.ndarray]  # positions, ascending, and scores


@dataclass(frozen=True)
class Merged:
    """The candidates of one query, best place first.

    Args:
        positions: `[C]` int64.
        sources: `[C]` int64, bit s is set where the s-th of `known` brought the candidate.
        known: the names of the sources.
    """

    positions: np.ndarray
    sources: np.ndarray
    known: tuple[str, ...] = tuple(SHARES)

    def names(self) -> list[str]:
        """Of each candidate its sources, with + between them."""
        sources = self.sources.tolist()
        named = {bits: "+".join(n for s, n in enumerate(self.known) if bits >> s & 1) for bits in set(sources)}
        return [named[bits] for bits in sources]


NOTHING = Merged(np.zeros(0, np.int64), np.zeros(0, np.int64))


class Sources:
    """The sources beside the index. Each is a function of this class with the name of its source.

    Args:
        items: the item table, with what the sources know.
    """

    def __init__(self, items: ItemTable) -> None:
        self._items = items
        self.shares = {**SHARES, "fresh": max(SHARES["fresh"], items.freshness.share)}
        self._order_by_age()
        self._by_value = ByValue.of(items)

    def with_items(self, items: ItemTable, where: np.ndarray) -> Sources:
        """Of another item table, where rows came or changed at `where`."""
        other = copy.copy(self)
        other._items = items
        if items.created_at is not self._items.created_at:
            other._order_by_age()
        if items.values is not self._items.values:
            other._by_value = self._by_value.with_items(self._items, items, where)
        return other

    def _order_by_age(self) -> None:
        items = self._items
        self._by_age = np.argsort(items.created_at, kind="stable")  # unknown ages last
        self._born = items.created_at[self._by_age]

    def listed(
        self,
        query: PairQuery,
        vector: np.ndarray | None,
        count: int,
        allowed: Allowed,
        warn: Callable[..., None] = logger.warning,
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """The best items of each source, and the names of the sources that failed.

        Args:
            query: the query.
            vector: `[dim]`, where there is one.
            count: how many candidates are wanted in all.
            allowed: says which items may be shown.
            warn: is told of a source that fails, as a logger is.
        """
        lists, failed = {}, []
        for name in list(SHARES)[1:]:
            try:
                with Stage(name):
                    wanted = int(count * self.shares[name])
                    found, scores = getattr(self, name)(query, vector, allowed, wanted)
                    kept = allowed(found)
                    lists[name] = _best(found[kept], scores[kept], wanted)
            except Exception as error:
                warn("%s unavailable: %s: %s", name, type(error).__name__, error)
                failed.append(name)
        return lists, failed

    def co_visitation(self, query: PairQuery, *_: object) -> Scored:
        """What others went on to after the items of the history."""
        return query.followers(self._items)

    def buy_again(self, query: PairQuery, *_: object) -> Scored:
        """The items of the history itself; what may not be bought again is not `allowed`."""
        return query.again(self._items)

    def segment_popular(self, query: PairQuery, *_: object) -> Scored:
        """What was popular lately in the segments of the user and the moment."""
        return query.popular(self._items)

    def matched(self, query: PairQuery, vector: np.ndarray | None, allowed: Allowed, wanted: int) -> Scored:
        """Items with values of the user's own, and with those that the past goes to, by how much and by what everyone
        takes lately. What the user did of late makes an order of its own: of both each item has its better place.
        They are `allowed`, and of two orders only the first `wanted` of each are told."""
        items = self._items
        looked = (AFFINITY, LATELY)[: (items.form > 3) + (items.form > 5)]
        tastes = [query.tastes[name] for name in looked if name in query.tastes]
        if tastes and len(items.values) and len(items.vectors) <= LOOKED:
            every = np.arange(len(items.vectors))
            found = every[allowed(every)]
        else:
            values = strongest(query.own, self._by_value)
            for taste in tastes:
                values = np.union1d(values, taste.preferred(items, PREFERRED))
            found = self._by_value.looked_up(values, allowed)
        asked = Valued.of(items, found)
        alike = np.sum(matched(items, [query.own], np.zeros(len(found), np.int64), asked), axis=0)
        liked = affinities(tastes, items, asked).sum(axis=1) if tastes else np.zeros((1, len(found)))
        own = (alike > 0) | (liked > 0).any(axis=0)
        _, taken = items.counts.at(found, np.full(len(found), query.time))
        return _better(found[own], (ALIKE * alike + TASTE * liked + np.log1p(taken))[:, own], wanted)

    def fresh(self, query: PairQuery, vector: np.ndarray | None, *_: object) -> Scored:
        """Items created lately, those that suit best and are newest: by content, as the query vector and the values of
        the window's items tell it, and by age, as fast as interest in new items falls in this market."""
        start, end = np.searchsorted(self._born, [query.time - FRESH_DAYS * DAY_MS, query.time], side="right")
        found = np.sort(self._by_age[max(start, end - FRESH) : end])
        days = (query.time - self._items.created_at[found]) / DAY_MS
        worth = lately(query.ages) if self._items.form > 5 else np.ones(len(query.items))
        shares = _shared(self._items, query.items, worth, found)
        scores = np.log(OWN_VALUES + shares) - days / self._items.freshness.days
        if vector is not None:
            scores += COSINE * (self._items.vectors[found] @ vector)
        return found, scores


def merged(lists: Mapping[str, np.ndarray], count: int, shares: Mapping[str, float] = SHARES) -> Merged:
    """Puts the lists of the sources together, and cuts at `count`; equal places are in the order of the shares.

    Args:
        lists: by source, its items, best first.
        count: at most so many candidates.
        shares: of the sources.
    """
    known = tuple(shares)
    names = [name for name in known if len(lists.get(name, ()))]
    if not names:
        return NOTHING
    items = np.concatenate([lists[name] for name in names])
    places = np.concatenate([np.arange(1, len(lists[name]) + 1) / shares[name] for name in names])
    bits = np.concatenate([np.full(len(lists[name]), 1 << known.index(name)) for name in names])
    found, where = np.unique(items, return_inverse=True)
    sources, first = np.zeros(len(found), np.int64), np.full(len(found), len(items))
    np.bitwise_or.at(sources, where, bits)
    order = np.argsort(places, kind="stable")
    rank = np.empty(len(items), np.int64)
    rank[order] = np.arange(len(items))
    np.minimum.at(first, where, rank)
    best = np.argsort(first)[:count]
    return Merged(found[best].astype(np.int64), sources[best], known)


def _better(found: np.ndarray, scores: np.ndarray, wanted: int) -> Scored:
    """Of several orders, `[orders, M]` scores, the items that are among the `wanted` first of one, and their better
    place, negative; of one all items and their scores."""
    if len(scores) == 1:
        return found, scores[0]
    places = np.full(len(found), np.inf)
    for own in scores:
        first = _best(np.arange(len(found)), own, wanted)
        places[first] = np.minimum(places[first], np.arange(len(first)))
    told = np.isfinite(places)
    return found[told], -places[told]


def _shared(items: ItemTable, window: np.ndarray, worth: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """`[positions]`: the share of the window's events, each of its worth, whose item has a value of the candidate, mean
    over its values."""
    known = window >= 0
    row, value = items.expanded(window[known])
    counts = np.bincount(value, worth[known][row], minlength=items.value_count) / max(worth.sum(), 1e-9)
    asked = Valued.of(items, positions)
    return asked.means(counts[asked.value])


def _best(found: np.ndarray, scores: np.ndarray, count: int) -> np.ndarray:
    """The `count` of highest score, best first, ties by position."""
    if count < len(found):
        bound = np.partition(scores, len(scores) - count)[len(scores) - count] if count else np.inf
        kept = scores >= bound
        found, scores = found[kept], scores[kept]
    return np.asarray(found[np.argsort(-scores, kind="stable")][:count])
