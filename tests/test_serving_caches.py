"""What is kept of users: for how long, for whom, and how often it is read."""

import json
import sys
import threading
import tracemalloc

import pytest

from souk.habits import Habit
from souk.serving.events.backlog import StateWriter
from souk.serving.request import Request
from souk.serving.user_cache import UserCaches, size_of
from souk.serving.users import known_states
from souk.state import Event, UserState
from souk.store.memory import MemoryStore
from tests.serving_fixtures import NOW, SPEC, STATES, state, write_workspace
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


def same(found, wanted):
    """Whether states are equal, without values too: from Python 3.13 on NaN does not equal itself in them."""
    return repr(found) == repr(wanted)


def test_a_state_is_read_once_until_its_time_is_over(store, clock):
    caches = UserCaches(5, clock=clock)
    cache = caches.of(store)
    assert same(read(cache, "ann", "nobody"), [ANN, UserState("nobody")])
    assert same(read(cache, "ann", "bob", "nobody"), [ANN, BOB, UserState("nobody")])
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
    assert notes == [[], ["features_unavailable"]] and same(known, [ANN, UserState("bob")])
    assert same(known_states([Request("ann", 5, NOW)], cache, SPEC, [[]], gone), [ANN])


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
        assert ann.events[-1].item_id == "g0-01" and same([bob], [BOB])
    assert store.asked == [["ann"], ["ann"]]


def test_a_release_that_is_read_meanwhile_ends_no_forgetting(store):
    caches, over, interval = UserCaches(60), threading.Event(), sys.getswitchinterval()
    kept = [caches.of(store) for _ in range(3)]

    def releases_come_and_go():
        while not over.is_set():
            del [caches.of(store) for _ in kept][:]

    coming = threading.Thread(target=releases_come_and_go)
    sys.setswitchinterval(1e-6)
    coming.start()
    try:
        for _ in range(30_000):
            caches.forget(["ann"])
    finally:
        over.set()
        coming.join()
        sys.setswitchinterval(interval)


def test_a_read_that_an_event_overtakes_is_not_kept(store):
    caches = UserCaches(60)
    cache = caches.of(store)
    store.after = lambda: (store.write([state("ann", ["g0-01"])], NOW), caches.forget(["ann"]))
    assert same(read(cache, "ann"), [ANN])  # who asked before the event may get what was there
    store.after = lambda: None
    assert read(cache, "ann")[0].events[-1].item_id == "g0-01"


def test_nobody_who_asks_after_an_event_waits_for_a_read_of_before_it(store):
    caches, entered, go, found = UserCaches(60), [threading.Event() for _ in "12"], threading.Event(), {}
    cache = caches.of(store)
    store.after = lambda: (entered[len(store.asked) - 1].set(), go.wait(30))
    asks = [threading.Thread(target=lambda n=n: found.update({n: read(cache, "ann")[0]})) for n in range(2)]
    asks[0].start()
    assert entered[0].wait(30)
    store.write([state("ann", ["g0-01"])], NOW)
    caches.forget(["ann"])
    asks[1].start()
    assert entered[1].wait(5), "it reads for itself"
    go.set()
    for thread in asks:
        thread.join(30)
    assert same([found[0]], [ANN]) and found[1].events[-1].item_id == "g0-01"
    store.after = lambda: None
    assert read(cache, "ann")[0].events[-1].item_id == "g0-01" and len(store.asked) == 2, "and what it read is kept"


def test_a_read_that_an_event_overtook_ends_no_read_of_after_it(store):
    """Who asks while the later one is under way waits for that one."""
    caches, first, later = UserCaches(60), threading.Event(), threading.Event()
    cache, found = caches.of(store), []
    begun = [threading.Event(), threading.Event(), threading.Event()]
    store.before = lambda: (begun[len(store.asked) - 1].set(), (first if len(store.asked) == 1 else later).wait(30))
    asks = [threading.Thread(target=lambda: found.append(cache.read(["ann"]))) for _ in range(3)]
    asks[0].start()
    assert begun[0].wait(30)
    caches.forget(["ann"])
    asks[1].start()
    assert begun[1].wait(30)
    first.set()
    asks[0].join(30)
    asks[2].start()
    assert not begun[2].wait(0.2), "a third read"
    later.set()
    for thread in asks[1:]:
        thread.join(30)
    assert len(found) == 3 and len(store.asked) == 2


def test_an_error_is_told_to_all_who_wait_and_not_kept(store):
    cache = UserCaches(60).of(store)
    store.error = OSError("gone")
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            cache.read(["ann"])
    store.error = None
    assert same(cache.read(["ann"]), [ANN]) and len(store.asked) == 3


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


def test_a_cache_is_bounded_by_bytes_and_may_be_off(store, clock):
    small, large = (state(user, ["g0-01"] * events) for user, events in (("small", 1), ("large", 60)))
    store.write([small, large], NOW)
    caches = UserCaches(60, most=3 * size_of(small), clock=clock)
    cache = caches.of(store)
    assert size_of(large) > caches.most and same(read(cache, "large"), [large])
    assert len(caches) == caches.bytes == 0
    for user in range(100):
        cache.read([f"u{user}"])
        assert caches.bytes == len(caches) * size_of(None) <= caches.most
    assert caches.most - size_of(None) < caches.bytes
    read(cache, "small")
    assert size_of(small) < caches.bytes <= caches.most
    assert same(cache.fresh(["small", "u99"]), {"small": small, "u99": None})
    clock.now = 61
    assert caches.bytes == 0
    assert UserCaches(0).of(store) is store


@pytest.mark.parametrize(
    "parts",
    [
        lambda: {
            "count": 100,
            "events": tuple(Event(f"i{n}", f"click{n}", NOW + n, n / 7, f"e{n}", n / 9) for n in range(100)),
        },
        lambda: {"habits": {f"item-{n}": Habit(n + 300, NOW + n, NOW + 2 * n) for n in range(500)}},
        lambda: {
            "hidden": {f"item-{n}": NOW + n for n in range(1000)},
            "daily": {19_000 + n: 300 + n for n in range(60)},
        },
        lambda: {"shown": {f"item-{n}": (NOW + n, NOW + 2 * n) for n in range(300)}},
        lambda: {"profile": {"country": "".join(["x"] * 40), "tags": [f"tag-{n}" for n in range(20)], "age": 3.5}},
    ],
    ids=["events", "habits", "hidden", "shown", "profile"],
)
def test_a_state_takes_about_what_its_size_says(parts):
    one = UserState("ann", **parts())
    tracemalloc.start()
    try:
        states = [UserState("ann", **parts()) for _ in range(20)]  # with texts of its own each, as a store gives
        taken = tracemalloc.get_traced_memory()[0] / len(states)
    finally:
        tracemalloc.stop()
    assert 0.8 * size_of(one) < taken + 600 < 1.25 * size_of(one)


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
        assert all(server.metric(f'souk_cache_bytes{{cache="{name}"}}') > 0 for name in ("users", "slates"))
