"""The scorers of the step `evaluate`: towers and slates of a bundle, as they are served."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from souk.errors import SoukError
from souk.evaluation.protocol import TOP, rank_all
from souk.evaluation.queries import rolling_queries
from souk.evaluation.windows import read_window
from souk.release.bundle import Bundle
from souk.schema import FOREVER
from souk.serving.request import Request
from tests import serving_fixtures as fixtures
from tests.evaluation_shop import Shop

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop")).write()


@pytest.fixture(scope="module")
def scored(shop):
    """The queries of the window, the catalogue and both scorers of the good challenger."""
    from souk.evaluation.twins import Slates, Towers

    _, _, out = shop.evaluate("good")
    bundle = Bundle.load(out / "twin")
    catalogue, window = read_window(shop.tables, shop.features, bundle.spec)
    queries = rolling_queries(window, catalogue, bundle.spec, 20)[::5]
    towers = Towers("two_tower", bundle, catalogue, bundle.spec).load()
    return queries, catalogue, towers, Slates("slate", towers, shop.features).load()


def order(scores, query, catalogue):
    scores = scores.copy()
    scores[query.excluded] = -np.inf
    scores[~catalogue.available] = -np.inf
    return [place for place in np.argsort(-scores, kind="stable") if scores[place] > -np.inf]


def test_towers_follow_the_history(scored):
    queries, _, towers, _ = scored
    vectors = fixtures.vectors()
    for query, scores in zip(queries, towers.score(queries), strict=True):
        visible = [fixtures.IDS.index(event.item_id) for event in query.state.events[-7:]]
        seen = vectors[visible[-(7 if query.state.count == 11 else query.state.count - 4) :]]
        direction = seen.sum(axis=0) / np.linalg.norm(seen.sum(axis=0))
        assert scores == pytest.approx(vectors @ direction, abs=2e-3)


def test_slates_are_candidates_by_the_ranker_then_retrieval_order(scored):
    queries, catalogue, towers, slates = scored
    for query, flat, ranked in zip(queries, towers.score(queries), slates.score(queries), strict=True):
        retrieved, shown = order(flat, query, catalogue), order(ranked, query, catalogue)
        assert set(shown[:8]) == set(retrieved[:8])
        assert shown[8:] == retrieved[8:]
        prices = [fixtures.PRICES[catalogue.ids[place]] for place in shown[:8]]
        assert prices == sorted(prices, reverse=query.state.profile["region"] == "north")


def test_no_candidate_is_spent_on_what_was_not_there_yet(scored, shop):
    """The best item of a query comes to be just after it; the next one takes its place among the eight."""
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, slates = scored
    query = queries[0]
    first, *rest = order(towers.score([query])[0], query, catalogue)
    born = catalogue.born.copy()
    born[first] = query.until + 1
    younger = replace(catalogue, born=born)
    own = Slates("slate", Towers("two_tower", towers.bundle, younger, towers.bundle.spec).load(), shop.features).load()
    before, after = (set(order(each.score([query])[0], query, catalogue)[:8]) for each in (slates, own))
    assert first in before and after == set(rest[:8])
    later = replace(query, until=query.until + 1)
    assert set(order(own.score([later])[0], query, catalogue)[:8]) == before


@pytest.mark.parametrize("known", [True, False])
def test_no_candidate_is_spent_on_what_has_ended(scored, known, shop):
    """Whether the bundle knows of it, or not, as one of before items had ends, which is told that it is gone now."""
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, slates = scored
    query = queries[0]
    first, *rest = order(towers.score([query])[0], query, catalogue)
    until = catalogue.until.copy()
    until[first] = query.timestamp - 1
    bundle = towers.bundle
    if known:
        ends = pa.array([None if time == FOREVER else time for time in until.tolist()], pa.int64())
        items = bundle.items
        items = items.set_column(items.column_names.index("available_until"), "available_until", ends)
        bundle = replace(bundle, items=items)
    else:
        left = pa.array([item != catalogue.ids[first] for item in bundle.item_ids])
        items = bundle.items.set_column(bundle.items.column_names.index("available"), "available", left)
        bundle = replace(bundle, items=items)
    ended = replace(catalogue, until=until)
    own = Slates("slate", Towers("two_tower", bundle, ended, bundle.spec).load(), shop.features).load()
    before, after = (set(order(each.score([query])[0], query, catalogue)[:8]) for each in (slates, own))
    assert first in before and after == set(rest[:8])
    earlier = replace(query, timestamp=query.timestamp - 1)
    assert first in order(own.score([earlier])[0], query, catalogue)[:8], "its last moment"


def test_a_query_without_candidates_is_told_as_one(scored, shop):
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, _ = scored
    query = queries[0]
    over = replace(catalogue, until=np.full(len(catalogue.ids), query.timestamp - 1))
    own = Slates("slate", Towers("two_tower", towers.bundle, over, towers.bundle.spec).load(), shop.features).load()
    own.score([query])
    assert own.observed.found[0].tolist() == [False] * len(query.targets) and len(own.observed.engaged[0]) == 0


def test_what_is_judged_is_what_is_served(scored, shop):
    """A bundle that re-ranks: the evaluation's first items are those of the slate of the size that is served, which
    are others than those of a slate of TOP; the ranker's own order is kept."""
    from souk.evaluation.twins import Slates, Towers

    queries, catalogue, towers, _ = scored
    many = replace(towers.bundle.settings, candidates=30, slate_size=12)
    bundles = [replace(towers.bundle, settings=replace(many, rerank=rules)) for rules in ({}, {"diversity": 1.0})]
    plain, slates = (
        Slates("slate", Towers("two_tower", bundle, catalogue, bundle.spec).load(), shop.features).load()
        for bundle in bundles
    )
    served, short = (
        slates._recommender.recommend(
            [Request(q.user_id, size, q.timestamp, state=q.state, context=q.context) for q in queries]
        )
        for size in (12, TOP)
    )
    assert [slate.items[:TOP] for slate in served] != [slate.items for slate in short]
    moved, scores, before = 0, slates.score(queries), plain.score(queries)
    for row, (query, slate) in enumerate(zip(queries, served, strict=True)):
        shown = [catalogue.ids[place] for place in order(scores[row], query, catalogue)[:TOP]]
        by_ranker = order(before[row], query, catalogue)[:30]
        assert shown == [item.item_id for item in slate.items[:TOP]]
        assert [catalogue.ids[place] for place in slates.alternatives.tops["diversity"][row]] == shown
        assert slates.alternatives.tops["none"][row].tolist() == by_ranker[:TOP]
        assert slates.observed.ranked[row].tolist() == [
            by_ranker.index(t) + 1.0 if t in by_ranker else np.inf for t in query.targets
        ]
        moved += shown != [catalogue.ids[place] for place in by_ranker[:TOP]]
    assert moved and plain.alternatives.tops == {}


def test_what_nobody_reads_is_not_kept(scored, shop):
    from souk.evaluation.twins import Slates

    queries, _, towers, _ = scored
    slates = Slates("slate", towers, shop.features).load()
    first = slates.score(queries)
    slates.observing = False
    assert np.array_equal(slates.score(queries), first)
    assert len(slates.observed.users) == len(queries)


def test_towers_are_asked_once_for_the_slate_and_for_themselves(scored):
    from souk.evaluation.twins import BATCH

    queries, catalogue, towers, slates = scored
    alone = rank_all([slates], queries, catalogue)[0], rank_all([towers], queries, catalogue)[0]
    asked, real = [], towers._tower.vectors
    towers._tower.vectors = lambda inputs: asked.append(1) or real(inputs)
    try:
        together = rank_all([slates, towers], queries, catalogue)
    finally:
        del towers._tower.vectors
    assert len(asked) == -(-len(queries) // BATCH)
    for found, expected in zip(together, alone, strict=True):
        assert [ranks.tolist() for ranks in found.ranks] == [ranks.tolist() for ranks in expected.ranks]
        assert found.top.tolist() == expected.top.tolist()


def test_items_that_a_bundle_lacks_come_last(scored):
    from souk.evaluation.twins import Towers

    queries, catalogue, towers, _ = scored
    more = ("aa-new", *catalogue.ids)
    larger = replace(catalogue, ids=more, position={item: place for place, item in enumerate(more)})
    scores = Towers("champion", towers.bundle, larger, towers.bundle.spec).load().score(queries)
    assert (scores[:, 1:] == towers.score(queries)).all()
    assert (scores[:, 0] < scores[:, 1:].min(axis=1)).all()


def test_of_what_the_evaluation_lacks_the_bundle_says_whether_it_is_there(scored):
    """The bundle's last item is none of the evaluation's; the last of those is not available, and has ended."""
    from souk.evaluation.twins import Towers

    _, catalogue, towers, _ = scored
    fewer = catalogue.ids[:-1]
    until, available = catalogue.until[:-1].copy(), catalogue.available[:-1].copy()
    until[-1], available[-1] = catalogue.start - 1, False
    known = {item: place for place, item in enumerate(fewer)}
    smaller = replace(catalogue, ids=fewer, position=known, until=until, available=available, born=catalogue.born[:-1])
    own = Towers("champion", towers.bundle, smaller, towers.bundle.spec)
    assert own.lifetimes().at(catalogue.start).tolist()[-2:] == [False, True]
    for there in (True, False):
        assert own.available(np.full(len(catalogue.ids), there)).tolist()[-2:] == [False, there]


def test_a_model_that_fails_is_not_judged_by_its_fallback(scored, shop):
    from souk.evaluation.twins import Slates

    queries, _, towers, _ = scored
    slates = Slates("slate", towers, shop.features).load()
    slates._recommender.ranker = None
    with pytest.raises(SoukError, match="ranker_unavailable"):
        slates.score(queries)


class Clocked:
    """A model that takes its seconds by a clock of the test's own."""

    def __init__(self, model, clock, seconds):
        self._model, self._clock, self._seconds = model, clock, seconds

    def __getattr__(self, name):
        return getattr(self._model, name)

    def _take(self):
        self._clock[0] += self._seconds

    def probabilities(self, *given):
        self._take()
        return self._model.probabilities(*given)

    def vectors(self, *given):
        self._take()
        return self._model.vectors(*given)


def test_what_a_request_costs_is_the_time_of_its_own_path_and_the_weights_of_its_models(scored, shop, monkeypatch):
    """The scores of the whole catalogue, which no server computes, are not of it."""
    from souk.evaluation.twins import Slates, Towers, weight_bytes

    queries, catalogue, known, _ = scored
    bundle, clock = known.bundle, [0.0]
    towers = Towers("two_tower", bundle, catalogue, bundle.spec).load()
    slates = Slates("slate", towers, shop.features).load()
    folders = (bundle.query_tower, bundle.item_tower, bundle.ranker)
    expected = sum(map(weight_bytes, folders))
    assert expected > 0 and slates.cost.measure() == {"bytes": expected, "calls": 0, "milliseconds": None}
    slates.score(queries)
    assert slates.cost.measure()["calls"] == 1 and slates.cost.measure()["milliseconds"] > 0
    slates = Slates("slate", towers, shop.features).load()
    slates.cost._clock = lambda: clock[0]
    towers._tower = Clocked(towers._tower, clock, 100.0)
    slates._recommender.ranker = Clocked(slates._recommender.ranker, clock, 0.18)
    monkeypatch.setattr("souk.evaluation.twins.BATCH", 20)
    assert len(queries) == 29
    slates.score(list(queries))
    assert clock[0] > 200, "the catalogue was scored meanwhile"
    assert slates.cost.measure() == {
        "bytes": expected,
        "calls": 2,
        "milliseconds": pytest.approx(1000 * (0.18 / 20 + 0.18 / 9) / 2),
    }


def test_slates_know_what_everybody_engaged_with_before_each_query(scored, shop):
    """Also what came after the boundary; under the frozen protocol, whose time that is, nothing of it."""
    queries, _, towers, slates = scored
    examples = pq.read_table(shop.features / "examples.parquet").to_pylist()
    items, since = slates._recommender.items, towers.bundle.settings.trained_until
    place = items.position
    late = [query for query in queries if any(since <= e["timestamp"] < query.timestamp for e in examples)]
    assert late
    for time in (late[-1].timestamp, late[0].timestamp, since):
        expected = np.zeros(len(place))
        for event in examples:
            expected[place[event["item_id"]]] += event["timestamp"] < time
        every = np.arange(len(place))
        np.testing.assert_array_equal(items.counts.at(every, np.full(len(every), time))[0], expected)
