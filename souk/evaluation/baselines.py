"""What a good engineer would try first: popularity, of all and of the user's kind, item-kNN, sequential rules, what the
user took before, what is new.

All are frozen at the start of the test window, and know a query's history up to it; `Trending` knows what everybody
engaged with up to it. None is tuned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from souk.candidates import Sources
from souk.counts import ItemCounts
from souk.evaluation.queries import Catalogue, Query
from souk.items import ItemTable
from souk.metrics import Floats, Ints, top
from souk.pair_query import PairQuery
from souk.schema import DAY_MS
from souk.sources.co_visitation import WINDOW, follow
from souk.sources.popularity import Segments
from souk.sources.rows import SparseRows
from souk.spec import FeatureSpec
from souk.state import features_at

MOVING = 0.1  # share of the engagements that go to fresh items, from which on what is new is an answer
COUNTED = 10  # times as many items as entries, up to which counting all is faster than sorting the entries
TIE = 1e-6  # what popularity may add where other scores are equal


class Scorer(Protocol):
    """Anything that ranks the whole catalogue for a query."""

    name: str

    def score(self, queries: Sequence[Query]) -> Floats:
        """`[queries, items]` float32, higher is better; what a query excludes is taken out afterwards."""
        ...


class Popularity:
    """Items by their engaging events before the test window."""

    name = "popularity"

    def __init__(self, catalogue: Catalogue) -> None:
        self._counts = catalogue.popularity.astype(np.float32)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        return np.tile(self._counts, (len(queries), 1))


class SegmentPopularity:
    """What was popular lately with users of the same city, at this hour and the like; popularity orders the rest.

    It is the popularity by which a release retrieves (`souk.sources.popularity`): what everyone takes lately, times
    what the columns that tell what is taken add for the user and the moment.

    Args:
        catalogue: the items.
        segments: as of the start of the test window.
        spec: that of the data.
    """

    name = "segment_popularity"

    def __init__(self, catalogue: Catalogue, segments: Segments, spec: FeatureSpec) -> None:
        self._ties, self._segments, self._spec = _shares(catalogue, 0.5), segments, spec

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            seen = features_at(query.state, query.timestamp, self._spec, query.context)
            asker = seen.user | seen.query
            found, shares = self._segments.popular(self._segments.of(asker))
            scores[row] *= shares.min(initial=1.0)  # behind the least of them
            scores[row, found] = shares
        return scores


class ItemKnn:
    """Cosine similarity of implicit co-occurrence with shrinkage (Aiolli 2013); popularity breaks ties.

    The similarity of items i and j that n_i and n_j users engaged with, and c_ij with both, is
    c_ij / (sqrt(n_i n_j) + shrinkage). An item's score is the sum of its similarities to the distinct items of the
    user's history up to the query. Similarities are those at the start of the test window.

    Args:
        catalogue: the items and who engaged with them.
        shrinkage: keeps rare pairs low.
        neighbours: kept of each item.
        longest: the last items of a user that count; bounds the work.
    """

    name = "item_knn"

    def __init__(
        self, catalogue: Catalogue, shrinkage: float = 10.0, neighbours: int = 200, longest: int = 1000
    ) -> None:
        count = len(catalogue.ids)
        baskets = [_last_distinct(history, longest) for history in catalogue.engaged_users.values()]
        taken = np.concatenate([*baskets, np.zeros(0, np.int64)])
        users = np.bincount(taken, minlength=count)
        holders = np.repeat(np.arange(len(baskets)), [len(basket) for basket in baskets])[taken.argsort(kind="stable")]
        starts = np.concatenate([[0], np.cumsum(users)])
        sizes, items, similarities = np.zeros(count, np.int64), [np.zeros(0, np.int32)], [np.zeros(0, np.float32)]
        for item in np.flatnonzero(users).tolist():
            own = holders[starts[item] : starts[item + 1]].tolist()
            others, together = _counted(np.concatenate([baskets[user] for user in own]), count)
            others, together = others[others != item], together[others != item]
            similarity = together / (np.sqrt(users[item] * users[others]) + shrinkage)
            best = np.sort(top(similarity, neighbours))
            sizes[item] = len(best)
            items.append(others[best].astype(np.int32))
            similarities.append(similarity[best].astype(np.float32))
        starts = np.concatenate([[0], np.cumsum(sizes)])
        self._near = SparseRows(starts, np.concatenate(items), np.concatenate(similarities))
        self._ties = _shares(catalogue, TIE)
        self._longest = longest

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            seen = _last_distinct(query.history, self._longest)
            _, near, weights = self._near.gather(seen)
            scores[row] += np.bincount(near, weights=weights, minlength=scores.shape[1]).astype(np.float32)
        return scores


class CoVisitation:
    """Sequential rules: what others went on to after the last events of the history; popularity breaks ties.

    They are those by which a release retrieves (`souk.sources.co_visitation`): a lead over them is what towers and
    ranker are worth.

    Args:
        catalogue: the items.
        rules: of the start of the test window, a row for each item.
    """

    name = "co_visitation"

    def __init__(self, catalogue: Catalogue, rules: SparseRows) -> None:
        self._position, self._rules, self._ties = catalogue.position, rules, _shares(catalogue, TIE)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            last = query.past[-WINDOW:]
            times = np.array([event.timestamp for event in last], np.int64)
            items = np.array([self._position.get(event.item_id, -1) for event in last], np.int64)
            moment = np.cumsum(np.diff(times, prepend=times[:1]) != 0)
            found, weights = follow(self._rules, items, moment[-1:] - moment, scores.shape[1])
            scores[row, found] += weights
        return scores


class Fresh:
    """What was created lately, by the values of what the user saw and by age; popularity orders the rest.

    It is what a release retrieves as fresh (`souk.candidates.Sources.fresh`), without its models.

    Args:
        catalogue: the items.
        items: what is known of them at the start of the test window; vectors are not looked at.
    """

    name = "fresh"

    def __init__(self, catalogue: Catalogue, items: ItemTable) -> None:
        self._items, self._sources, self._ties = items, Sources(items), _shares(catalogue, 0.5)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        nothing, never = np.zeros(0, np.int64), np.zeros(0)  # what no fresh item depends on
        for row, query in enumerate(queries):
            last = query.past[-WINDOW:]
            seen = np.array([self._items.position.get(event.item_id, -1) for event in last], np.int64)
            days = np.array([(query.timestamp - event.timestamp) / DAY_MS for event in last])
            asked = PairQuery(query.timestamp, seen, ages=days, moments=nothing, segments=nothing, surprise=never)
            found, weights = self._sources.fresh(asked, None)
            scores[row, found] = 1 + weights - weights.min(initial=np.inf)
        return scores


class Trending:
    """What everybody engages with lately, up to each query (`souk.counts`); popularity orders the rest.

    Args:
        catalogue: the items.
        counts: of the start of the test window, and of what came since.
    """

    name = "trending"

    def __init__(self, catalogue: Catalogue, counts: ItemCounts) -> None:
        self._counts, self._ties = counts, _shares(catalogue, TIE)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        every = np.arange(scores.shape[1])
        for row, query in enumerate(queries):
            scores[row] += self._counts.at(every, np.full(len(every), query.timestamp))[1].astype(np.float32)
        return scores


class PersonalFrequency:
    """How often the user engaged with each item; popularity orders those of the same count, and the rest."""

    name = "personal_frequency"

    def __init__(self, catalogue: Catalogue) -> None:
        self._ties = _shares(catalogue, 0.5)

    def score(self, queries: Sequence[Query]) -> Floats:
        """See `Scorer`."""
        scores = np.tile(self._ties, (len(queries), 1))
        for row, query in enumerate(queries):
            np.add.at(scores[row], query.history, np.float32(1.0))
        return scores


KINDS = (CoVisitation, PersonalFrequency, Fresh, Trending, ItemKnn, SegmentPopularity, Popularity)
BASELINES = tuple(kind.name for kind in KINDS)


def baselines(catalogue: Catalogue, spec: FeatureSpec, items: ItemTable) -> list[Scorer]:
    """Those that the data has an answer for; `items` are as of the start of the test window, and of what came since."""
    again = [PersonalFrequency(catalogue)] if spec.engaged_again else []
    moving = items.freshness.share >= MOVING
    fresh: list[Scorer] = [Fresh(catalogue, items), Trending(catalogue, items.counts)] if moving else []
    lately = len(items.segments.numbers) > 1 or np.isfinite(items.counts.half)  # or it is popularity
    alike = [SegmentPopularity(catalogue, items.segments, spec)] if lately else []
    rules, near = CoVisitation(catalogue, items.rules), ItemKnn(catalogue)
    return [rules, *again, *fresh, near, *alike, Popularity(catalogue)]


def _shares(catalogue: Catalogue, most: float) -> Floats:
    """`[items]` float32: the popularity, the greatest being `most` at most."""
    return (catalogue.popularity / max(1, catalogue.popularity.sum()) * most).astype(np.float32)


def _last_distinct(history: Ints, longest: int) -> Ints:
    """The distinct items of the end of a history, sorted."""
    _, first = np.unique(history[::-1], return_index=True)
    return np.sort(history[::-1][np.sort(first)[:longest]])


def _counted(items: Ints, count: int) -> tuple[Ints, Ints]:
    """The distinct `items`, ascending, and how often each is there; of a catalogue of `count`, whose size costs nothing
    where the list is short."""
    if count <= COUNTED * len(items):
        times = np.bincount(items, minlength=count)
        found = np.flatnonzero(times)
        return found, times[found]
    return np.unique(items, return_counts=True)
