"""Slates that are kept: for how long, what tells them apart, and how many bytes they take."""

import dataclasses
import gc
import tracemalloc
import weakref

import numpy as np
import pytest

from souk.config.experiments import Exploration
from souk.serving.budget import Guards
from souk.serving.experiments.treatment import Treatment
from souk.serving.filters import Condition
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.lifetimes import Lifetimes
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.slate import size_of
from souk.serving.slate_cache import NAMED, SlateCache
from souk.state import UserState
from tests.serving_fixtures import NOW, STATES, write_shop

ANN = STATES[0]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("caches") / "shop")
    return bundle, Recommender.load(bundle, None, None, Guards())


class Counted:
    """A recommender that tells how many requests it was given."""

    def __init__(self, recommender, release=""):
        self.settings = dataclasses.replace(recommender.settings, release=release)
        self.catalogue = recommender.catalogue
        self._recommender, self.asked, self.degraded = recommender, 0, ()

    def recommend(self, requests):
        self.asked += len(requests)
        slates = self._recommender.recommend(requests)
        return [
            dataclasses.replace(s, release=self.settings.release, degraded=self.degraded or s.degraded) for s in slates
        ]


def similar(number=0, **more):
    asked = {"item_id": "g1-00", "k": 5, "timestamp": NOW, "state": UserState(""), **more}
    return Request("", request_id=f"r{number}", **asked)


def test_a_slate_without_a_user_is_computed_once_and_answers_each_by_its_id(shop):
    cache, counted = SlateCache(10), Counted(shop[1])
    slates = cache.recommend(counted, [similar(n) for n in range(4)]) + cache.recommend(counted, [similar(4)])
    assert counted.asked == 1 and cache.reads == {"hit": 4, "miss": 1} and len(cache) == 1
    assert [slate.request_id for slate in slates] == [f"r{n}" for n in range(5)]
    assert [slate.request.request_id for slate in slates] == [f"r{n}" for n in range(5)], "as its impression says"
    assert slates[0].items and all(slate.items == slates[0].items for slate in slates)


@pytest.mark.parametrize(
    "more",
    [
        {"k": 6},
        {"item_id": "g2-00"},
        {"candidates": ("g1-02", "g1-03")},
        {"filter": (Condition("category", frozenset(["all/g2"])),)},
        {"filter": (Condition("price", high=20.0),)},
        {"exclude": frozenset(["g1-02"])},
        {"exclude": frozenset(f"x{n}" for n in range(NAMED))},
        {"context": {"device": "mobile"}},
        {"profile": {"region": "north"}},
        {"timestamp": NOW + 20_000},
        {"treatment": Treatment("other=b")},
        {"treatment": Treatment(weights={"engaged": 2.0})},
        {"treatment": Treatment(weights={"engaged": 9.0})},
        {"treatment": Treatment(rerank='{"diversity":0.2}')},
    ],
)
def test_whatever_the_answer_depends_on_is_told_apart(shop, more):
    cache, counted = SlateCache(10), Counted(shop[1])
    others = (
        {"treatment": Treatment(weights={"engaged": 3.0})},
        {"filter": (Condition("category", frozenset(["all/g1"])),)},
    )
    cache.recommend(counted, [similar(), *(similar(**other) for other in others)])
    cache.recommend(counted, [similar(**more), similar(**more)])
    assert counted.asked == 4


def test_a_slate_is_of_the_items_that_are_there_at_its_own_moment(shop, tmp_path):
    """Within the length of the time an item comes and another ends: at the same moments as without a cache."""
    live, first = LiveItems(shop[1], shop[0], ItemLog(tmp_path / "log"), lambda: NOW), NOW - NOW % 10_000
    born, over = (item.item_id for item in shop[1].recommend([similar()])[0].items[:2])
    live.upsert([{"item_id": over, "available_until": first + 2000}])
    until, since = (
        live.current.items.available_until,
        np.where(np.array(live.current.catalogue.ids) == born, first + 5000, 0.0),
    )
    lifetimes = Lifetimes(since, until, np.zeros(len(since), bool))
    recommender = live.current.connected(None, None)
    recommender.catalogue = dataclasses.replace(live.current.catalogue, lifetimes=lifetimes)
    recommender.slates = dataclasses.replace(recommender.slates, catalogue=recommender.catalogue)
    cache, times = SlateCache(10), [first + n for n in (0, 2000, 2001, 4999, 5000, 9999, 0)]
    slates = [cache.recommend(recommender, [similar(timestamp=time)])[0] for time in times]
    there = [tuple(sorted({born, over} & {item.item_id for item in slate.items})) for slate in slates]
    assert there == [(over,), (over,), (), (), (born,), (born,), (over,)]
    assert cache.reads == {"miss": 3, "hit": 4}, "what is there all along is computed once"


def test_releases_and_catalogues_are_told_apart(shop, tmp_path):
    cache, one, other = SlateCache(10), Counted(shop[1], "one"), Counted(shop[1], "other")
    found = [cache.recommend(recommender, [similar()])[0].release for recommender in (one, other, one, other)]
    assert found == ["one", "other", "one", "other"] and (one.asked, other.asked) == (1, 1)
    live = LiveItems(shop[1], shop[0], ItemLog(tmp_path / "log"), lambda: NOW - 1000)
    (before,) = cache.recommend(live.current, [similar()])
    live.upsert([{"item_id": before.items[0].item_id, "available": False}])
    (after,) = cache.recommend(live.current, [similar()])
    assert before.items[0].item_id not in {item.item_id for item in after.items}


@pytest.mark.parametrize(
    "request_of",
    [
        lambda: Request("ann", 5, NOW, state=ANN),
        lambda: similar(exclude=frozenset(f"x{n}" for n in range(NAMED)), candidates=("g1-02",)),
        lambda: similar(degraded=("malformed_feature:device",)),
        lambda: similar(item_id="", treatment=Treatment(exploration=Exploration(slots=2))),
    ],
)
def test_what_is_somebodys_own_or_drawn_or_degraded_is_not_kept(shop, request_of):
    cache, counted = SlateCache(10), Counted(shop[1])
    for _ in range(2):
        cache.recommend(counted, [request_of()])
    assert counted.asked == 2 and len(cache) == 0


def test_a_degraded_request_has_no_kept_slate_for_an_answer_either(shop):
    """Its own says what was wrong with it."""
    cache, reasons = SlateCache(10), ("malformed_feature:device",)
    slates = [cache.recommend(shop[1], [similar(degraded=degraded)])[0] for degraded in ((), reasons, ())]
    assert [slate.degraded for slate in slates] == [(), reasons, ()] and cache.reads == {"hit": 1, "miss": 1}


def test_a_kept_slate_answers_at_the_moment_of_the_request(shop):
    cache, first = SlateCache(10), NOW - NOW % 10_000
    times = [first + milliseconds for milliseconds in (0, 1, 9999)]
    slates = [cache.recommend(shop[1], [similar(timestamp=time)])[0] for time in times]
    slates += cache.recommend(shop[1], [similar(timestamp=time) for time in times])
    assert [slate.timestamp for slate in slates] == times * 2 and cache.reads == {"hit": 5, "miss": 1}


def test_what_is_over_is_let_go_of_also_where_nobody_asks_any_more(shop, clock):
    cache, one, other = SlateCache(10, clock=clock), Counted(shop[1], "one"), Counted(shop[1], "other")
    slates = [weakref.ref(cache.recommend(each, [similar()])[0].request) for each in (one, other)]
    del one
    gc.collect()
    cache.recommend(other, [similar()])
    assert slates[0]() and slates[1](), "their time is not over"
    cache.recommend(Counted(shop[1], "next"), [similar(1)])
    gc.collect()
    assert slates[0]() is None and slates[1](), "a new one comes: those of the one that is gone go"
    clock.now = 10.1
    assert len(cache) == 0
    gc.collect()
    assert slates[1]() is None


def test_slates_are_bounded_by_what_they_take(shop):
    (small,) = SlateCache(10).recommend(shop[1], [similar(k=1)])
    (large,) = SlateCache(10).recommend(shop[1], [similar(k=20)])
    cache, counted = SlateCache(10, most=10 * size_of(small)), Counted(shop[1])
    for k in (1, 20):
        for hour in range(30):
            cache.recommend(counted, [similar(k=k, timestamp=NOW + 3_600_000 * hour)])
        assert len(cache) == 10 * size_of(small) // size_of((small, large)[k == 20])
    none = SlateCache(10, most=size_of(large) - 1)
    assert none.recommend(counted, [similar(k=20)])[0].items == large.items and len(none) == 0


@pytest.mark.parametrize(("k", "excluded"), [(1, 0), (20, 0), (20, NAMED), (1, NAMED)])
def test_what_a_slate_takes_is_estimated_within_a_half(shop, k, excluded):
    slates = []

    def requests(number):
        for hour in range(number):
            named = frozenset(f"item-{hour}-{n}" for n in range(excluded))
            yield similar(hour, k=k, exclude=named, timestamp=NOW + 3_600_000 * hour)

    cache = SlateCache(10)
    cache.recommend(shop[1], list(requests(1)))
    tracemalloc.start()
    for request in requests(200):
        slates += cache.recommend(shop[1], [request])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.5 < sum(map(size_of, slates)) / taken < 1.5


TEXT = "x" * 4000


@pytest.mark.parametrize(
    "more",
    [
        {"profile": {"region": TEXT}},
        {"context": {"device": TEXT}},
        {"exclude": frozenset([TEXT])},
        {"candidates": ("g1-02", TEXT)},
        {"filter": (Condition("brand", frozenset([TEXT])),)},
    ],
    ids=lambda more: next(iter(more)),
)
def test_whatever_a_request_says_takes_its_bytes(shop, more):
    (slate,) = shop[1].recommend([similar()])
    sizes = [size_of(dataclasses.replace(slate, request=similar(**asked))) for asked in ({}, more)]
    assert len(TEXT) <= sizes[1] - sizes[0] < len(TEXT) + 300


def test_similar_items_are_kept_whatever_is_explored_elsewhere(shop):
    cache, counted = SlateCache(10), Counted(shop[1])
    explored = Treatment(exploration=Exploration(slots=2))
    slates = [cache.recommend(counted, [similar(n, treatment=explored)])[0] for n in range(2)]
    assert counted.asked == 1 and {item.propensity for slate in slates for item in slate.items} == {1.0}


def test_a_degraded_answer_is_not_kept_and_off_is_off(shop):
    cache, counted = SlateCache(10), Counted(shop[1])
    counted.degraded = ("index_unavailable",)
    cache.recommend(counted, [similar()])
    counted.degraded = ()
    assert cache.recommend(counted, [similar()])[0].degraded == () and counted.asked == 2
    off = SlateCache(0)
    for _ in range(2):
        off.recommend(counted, [similar()])
    assert counted.asked == 4 and len(off) == 0
