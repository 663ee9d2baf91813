"""What is kept of users and slates: for how long, for whom, and how often it is computed."""

import dataclasses
import gc
import json
import threading
import tracemalloc
import weakref

import pytest

from souk.config.experiments import Exploration
from souk.serving.budget import Guards
from souk.serving.event_backlog import StateWriter
from souk.serving.item_log import ItemLog
from souk.serving.live_items import LiveItems
from souk.serving.recommender import Recommender
from souk.serving.request import Request
from souk.serving.slate_cache import NAMED, SlateCache, size_of
from souk.serving.treatment import Treatment
from souk.serving.user_cache import UserCaches
from souk.serving.users import known_states
from souk.state import UserState
from souk.store.memory import MemoryStore
from tests.serving_fixtures import NOW, SPEC, STATES, state, write_shop, write_workspace
from tests.serving_process import serving

ANN, BOB = STATES[0], STATES[1]


class Watched(MemoryStore):
    """Counts what it is asked for; may fail or wait."""

    def __init__(self):
        super().__init__(SPEC)
        self.asked, self.error, self.before, self.after = [], None, lambda: None, lambda: None

    def read(self, user_ids):
        self.asked.append(list(user_ids))
        self.before()
        if self.error:
            raise self.error
        found = super().read(user_ids)
        self.after()
        return found


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store():
    store = Watched()
    store.write(STATES, NOW)
    return store


def read(cache, *users, guarded=lambda call: call()):
    requests = [Request(user, 5, NOW) for user in users]
    return known_states(requests, cache, SPEC, [[] for _ in users], guarded)


def test_a_state_is_read_once_until_its_time_is_over(store, clock):
    caches = UserCaches(5, clock=clock)
    cache = caches.of(store)
    assert read(cache, "ann", "nobody") == [ANN, UserState("nobody")]
    assert read(cache, "ann", "bob", "nobody") == [ANN, BOB, UserState("nobody")]
    assert store.asked == [["ann", "nobody"], ["bob"]] and caches.reads == {"miss": 3, "hit": 2} and len(caches) == 3
    clock.now = 5.1
    read(cache, "ann")
    assert store.asked[2:] == [["ann"]]


def test_what_is_kept_needs_no_call_that_could_hang_or_fail(store):
    cache = UserCaches(5).of(store)
    read(cache, "ann")

    def gone(call):
        raise OSError("gone")

    notes = [[], []]
    known = known_states([Request("ann", 5, NOW), Request("bob", 5, NOW)], cache, SPEC, notes, gone)
    assert notes == [[], ["features_unavailable"]] and known == [ANN, UserState("bob")]
    assert known_states([Request("ann", 5, NOW)], cache, SPEC, [[]], gone) == [ANN]


def test_a_users_event_ends_what_is_known_of_the_user_in_every_cache(store, clock):
    caches = UserCaches(60, clock=clock)
    one, other = caches.of(store), caches.of(store)
    for cache in (one, other):
        read(cache, "ann", "bob")
    row = {"user_id": "ann", "item_id": "g0-01", "event_type": "click", "timestamp": NOW - 9, "event_id": "e1"}
    writer = StateWriter(store, SPEC, lambda: NOW, caches.forget)
    writer.take(writer.grouped([row]))
    store.asked.clear()
    for cache in (one, other):
        ann, bob = read(cache, "ann", "bob")
        assert ann.events[-1].item_id == "g0-01" and bob == BOB
    assert store.asked == [["ann"], ["ann"]]


def test_a_read_that_an_event_overtakes_is_not_kept(store):
    caches = UserCaches(60)
    cache = caches.of(store)
    store.after = lambda: (store.write([state("ann", ["g0-01"])], NOW), caches.forget(["ann"]))
    assert read(cache, "ann") == [ANN]  # who asked before the event may get what was there
    store.after = lambda: None
    assert read(cache, "ann")[0].events[-1].item_id == "g0-01"


def test_an_error_is_told_to_all_who_wait_and_not_kept(store):
    cache = UserCaches(60).of(store)
    store.error = OSError("gone")
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            cache.read(["ann"])
    store.error = None
    assert cache.read(["ann"]) == [ANN] and len(store.asked) == 3


def test_many_who_ask_for_one_user_at_once_are_one_read(store):
    cache, entered, go, found = UserCaches(60).of(store), threading.Event(), threading.Event(), []
    store.before = lambda: (entered.set(), go.wait(30))
    threads = [threading.Thread(target=lambda: found.append(cache.read(["ann"]))) for _ in range(8)]
    threads[0].start()
    entered.wait(30)
    for thread in threads[1:]:
        thread.start()
    late = threading.Thread(target=lambda: found.append(cache.read(["bob"])))
    late.start()
    go.set()
    for thread in (*threads, late):
        thread.join(30)
    assert sorted(map(len, found)) == [1] * 9 and sorted(store.asked) == [["ann"], ["bob"]]


def test_a_cache_is_bounded_and_may_be_off(store):
    caches = UserCaches(60, size=10)
    cache = caches.of(store)
    for user in range(100):
        cache.read([f"u{user}"])
    assert len(caches) == 10
    assert UserCaches(0).of(store) is store


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    bundle = write_shop(tmp_path_factory.mktemp("caches") / "shop")
    return bundle, Recommender.load(bundle, None, None, Guards())


class Counted:
    """A recommender that tells how many requests it was given."""

    def __init__(self, recommender, release=""):
        self.settings = dataclasses.replace(recommender.settings, release=release)
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
        {"exclude": frozenset(["g1-02"])},
        {"exclude": frozenset(f"x{n}" for n in range(NAMED))},
        {"context": {"device": "mobile"}},
        {"timestamp": NOW + 20_000},
        {"treatment": Treatment("other=b")},
        {"treatment": Treatment(weights={"engaged": 2.0})},
        {"treatment": Treatment(weights={"engaged": 9.0})},
        {"treatment": Treatment(rerank='{"diversity":0.2}')},
    ],
)
def test_whatever_the_answer_depends_on_is_told_apart(shop, more):
    cache, counted = SlateCache(10), Counted(shop[1])
    cache.recommend(counted, [similar(), similar(treatment=Treatment(weights={"engaged": 3.0}))])
    cache.recommend(counted, [similar(**more), similar(**more)])
    assert counted.asked == 3


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


@pytest.mark.slow
def test_a_server_tells_its_hits_and_an_event_counts_at_once(tmp_path):
    workspace = write_workspace(tmp_path / "workspace")
    words = ("--user-cache-seconds", "600", "--slate-cache-seconds", "600")
    with serving(workspace.root, tmp_path / "log", *words) as server:
        asked = {"user_id": "visitor", "k": 3}
        first, again = (server.slates(asked)[0]["items"][0]["item_id"] for _ in range(2))
        assert first == again and server.metric('souk_cache_reads_total{cache="users",outcome="hit"}') >= 1
        event = {"event_id": "v1", "user_id": "visitor", "item_id": first, "event_type": "click", "timestamp": NOW}
        status, body = server.call("/v1/events", json.dumps(event), {"content-type": "application/json"})
        assert status == 200 and json.loads(body)["accepted"] == 1
        assert first not in [item["item_id"] for item in server.slates(asked)[0]["items"]]  # it repeats never
        similar_to = {"item_id": "g1-00", "k": 3, "timestamp": NOW}
        one, other = server.slates(similar_to)[0], server.slates(similar_to)[0]
        assert one["items"] == other["items"] and one["request_id"] != other["request_id"]
        assert server.metric('souk_cache_reads_total{cache="slates",outcome="hit"}') == 1
