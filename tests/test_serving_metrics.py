"""What is counted beside the path: what an index finds, and slates by a release that is not there for ever."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from souk.index.exact import ExactIndex
from souk.index.interface import IndexUnavailable
from souk.serving.catalogue import Catalogue
from souk.serving.dependency import Dependency, Unavailable
from souk.serving.events.live import Loaded
from souk.serving.items.ends import Waiting
from souk.serving.items.live import Replayed
from souk.serving.items.metrics import ItemLogMetrics
from souk.serving.items.outcomes import Followed
from souk.serving.lifetimes import Lifetimes
from souk.serving.metrics import (
    RELEASES,
    BesideMetrics,
    CacheMetrics,
    EventMetrics,
    PathMetrics,
    ServingMetrics,
)
from souk.serving.recall_probe import K, RecallProbe
from souk.serving.retrieval import ASKED, Retrieval
from souk.serving.server import ITEM_SECONDS
from souk.serving.slate import Slate
from tests.serving_fixtures import NOW

ITEMS, DIM = 400, 8


class Half(ExactIndex):
    """Finds what is best among the items at even places: on average half of all."""

    def search(self, queries, k, *given, allowed, **named):
        even = np.arange(len(self)) % 2 == 0
        return super().search(
            queries, k, allowed=[even if mask is None else even & mask for mask in allowed or [None] * len(queries)]
        )


class Gone(ExactIndex):
    def search(self, *given, **named):
        raise IndexUnavailable("an answer", "none")


def answering(index_of, until=np.inf, release="shop-1"):
    """What answers by an index, after some requests; items have an end."""
    vectors = np.random.default_rng(5).normal(size=(ITEMS, DIM)).astype(np.float32)
    found = Retrieval(index_of and index_of(vectors), ExactIndex(vectors), Dependency("index", 60))
    queries = np.random.default_rng(6).normal(size=(2 * ASKED, DIM)).astype(np.float32)
    for query in queries:
        found.search(query[None], 5, [()])
    nan, ids = np.full(ITEMS, np.nan), [f"i{n}" for n in range(ITEMS)]
    lifetimes = Lifetimes(nan, np.broadcast_to(until, ITEMS), np.zeros(ITEMS, bool))
    catalogue = Catalogue.of(ids, ids, found.exact.available, lifetimes=lifetimes)
    return SimpleNamespace(retrieval=found, catalogue=catalogue, settings=SimpleNamespace(release=release))


def probe_of(asked, time=NOW):
    probe = RecallProbe(lambda: asked, lambda: time)
    probe.look()
    return probe


@pytest.mark.parametrize(("index_of", "low", "high"), [(ExactIndex, 1.0, 1.0), (Half, 0.4, 0.6)])
def test_the_recall_of_an_index_is_what_it_finds_of_what_is_there(index_of, low, high):
    asked = answering(index_of)
    assert len(asked.retrieval.asked) == ASKED and K < ITEMS
    probe = probe_of(asked)
    assert low <= probe.recall <= high


def test_what_had_ended_when_an_index_was_built_is_not_missed_in_it():
    asked = answering(lambda vectors: ExactIndex(vectors, np.arange(len(vectors)) % 2 == 0))
    assert probe_of(asked).recall == 1.0 and asked.retrieval.exact.available.all()


@pytest.mark.parametrize("remote", [False, True])
def test_an_index_is_probed_among_what_can_be_shown_at_the_moment(remote, monkeypatch):
    """All items at odd places end, which this index does not find; one outside this process has no masks."""
    monkeypatch.setattr(Half, "remote", remote)
    asked = answering(Half, np.where(np.arange(ITEMS) % 2, NOW, np.inf))
    before, after = (probe_of(asked, time).recall for time in (NOW, NOW + 1))
    assert 0.4 <= before <= 0.6 and after == (before if remote else 1.0)
    assert probe_of(answering(Half, NOW), NOW + 1).recall == (before if remote else 1.0), "there is nothing to find"


@pytest.mark.parametrize("index_of", [None, Gone])
def test_without_an_answer_of_an_index_there_is_no_recall(index_of):
    probe = probe_of(answering(index_of))
    assert math.isnan(probe.recall)


@pytest.mark.parametrize("index_of", [None, Gone])
def test_the_recall_of_an_index_ends_with_its_answers(index_of):
    now = [answering(Half)]
    probe = RecallProbe(lambda: now[0], lambda: NOW)
    for after, known in ((answering(Half), True), (answering(index_of), False), (answering(Half), True)):
        now[0] = after
        probe.look()
        assert math.isnan(probe.recall) is not known


def test_the_recall_of_an_index_is_not_that_of_the_next_release_and_stays_while_nobody_asks():
    now = [answering(Half)]
    probe = RecallProbe(lambda: now[0], lambda: NOW)
    for release, known in (("shop-1", True), ("shop-2", False)):
        probe.look()
        now[0] = answering(Half, release=release)
        now[0].retrieval.asked.clear()  # as after each change of items, too
        probe.look()
        assert math.isnan(probe.recall) is not known


def test_what_another_server_was_told_took_from_its_time_to_now_in_seconds():
    registry = CollectorRegistry()
    ServingMetrics(registry).followed(Followed((NOW - 2_500, NOW - 6_000, NOW + 9), NOW, 1, 0, 2))
    lines = generate_latest(registry).decode().splitlines()
    assert {"souk_item_lag_seconds_count 3.0", "souk_item_lag_seconds_sum 8.5"} <= set(lines)
    assert 'souk_item_lag_seconds_bucket{le="5.0"} 2.0' in lines
    assert ITEM_SECONDS <= 1.0, "of the five in which others know an item: a busy machine has time"
    for outcome, count in (("taken", 3.0), ("older", 1.0), ("unknown", 0.0), ("refused", 2.0)):
        assert f'souk_followed_items_total{{outcome="{outcome}"}} {count}' in lines


def test_slates_are_counted_by_release_of_the_last_releases_only():
    registry = CollectorRegistry()
    metrics = ServingMetrics(registry)
    for number in range(RELEASES + 3):
        for arm in ("", "price=dear"):
            metrics.count([Slate("r", "u", 1, f"shop-{number}", arm, (), ("unknown_user",))] * 2)
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("souk_slates_total")]
    kept = [f"shop-{number}" for number in range(3, RELEASES + 3)]
    assert lines == [f'souk_slates_total{{release="{name}"}} 4.0' for name in kept], (
        "the label of arms would have as many values as experiments have combinations"
    )
    degraded = generate_latest(registry).decode()
    assert 'souk_degraded_slates_total{reason="unknown_user",release="shop-6"} 4.0' in degraded
    assert "shop-2" not in degraded


def test_counting_is_as_far_behind_as_in_the_release_that_is_furthest():
    counts = [SimpleNamespace(counted=n, behind=seconds) for n, seconds in ((7, 2.0), (9, 60.0))]
    now, arm = (SimpleNamespace(counts=each) for each in counts)
    live = SimpleNamespace(places={}, behind=0, loaded=Loaded())
    for beside, behind in (([arm, SimpleNamespace(counts=None)], 60.0), ([], 2.0)):
        told = EventMetrics(live, SimpleNamespace(now=now, beside=beside)).collect()
        values = {sample.name: sample.value for metric in told for sample in metric.samples}
        assert (values["souk_counted_engagements"], values["souk_counting_behind_seconds"]) == (7, behind)


def told(*collectors):
    """The samples of a registry, by name and labels as Prometheus reads them."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


def test_the_path_says_what_answers_what_waits_and_what_is_left_alone():
    guards = [Dependency("features", 60), Dependency("ranker", 60)]
    for _ in range(3):
        with pytest.raises(Unavailable):
            guards[1].call(lambda: 1 / 0, 1.0)

    def served(name, size, breakers):
        current = SimpleNamespace(breakers=breakers)
        bundle = SimpleNamespace(name=name, settings=SimpleNamespace(trained_until=NOW))
        return SimpleNamespace(bundle=bundle, bytes=size, live=SimpleNamespace(current=current))

    now, arm = served("a", 5, guards), served("b", 7, [guards[0], Dependency("ranker", 60)])
    before = served("c", 11, [])
    releases = SimpleNamespace(now=now, beside=(arm,), alive=[now, arm, before], taken=2, refused=1)
    rooms = [SimpleNamespace(name="parse", waiting=3), SimpleNamespace(name="explain", waiting=0)]
    probe = SimpleNamespace(recall=math.nan)
    path = PathMetrics(SimpleNamespace(waiting=4), releases, probe, rooms)
    found = told(path)
    assert "souk_index_recall" not in found, "nothing was searched yet"
    probe.recall = 0.75
    found = told(path)
    assert found["souk_index_recall"] == 0.75
    assert found['souk_release{release="a"}'] == 1 and found['souk_trained_until_seconds{release="a"}'] == NOW / 1000
    changes = [found[f'souk_release_changes_total{{outcome="{outcome}"}}'] for outcome in ("taken", "refused")]
    assert changes == [2, 1]
    assert found["souk_releases_in_memory"] == 3
    assert [found[f'souk_release_bytes{{release="{name}"}}'] for name in "abc"] == [5, 7, 11]
    assert found["souk_waiting_requests"] == 4
    assert [found[f'souk_waiting_calls{{kind="{kind}"}}'] for kind in ("parse", "explain")] == [3, 0]
    states = {name: value for name, value in found.items() if name.startswith("souk_breaker") and value}
    assert set(states) == {
        'souk_breaker{dependency="features",release="",state="closed"}',
        'souk_breaker{dependency="ranker",release="",state="open"}',
        'souk_breaker{dependency="ranker",release="b",state="closed"}',
    }, "what two releases share is told once"


def test_caches_tensorflow_and_the_log_of_items_are_told_as_they_are():
    class Kept(list):
        reads, bytes = {"hit": 3, "miss": 2}, 640

    beside = SimpleNamespace(bytes=10**8, starts=2)
    waiting = Waiting(most=2)
    waiting.add({"item_id": f"new-{n}", "available_until": NOW} for n in range(5))
    replayed = Replayed(taken=6, older=1, unknown=2, refused=3, torn=4, damaged=5)
    current = SimpleNamespace(retrieval=SimpleNamespace(beside=9))
    live = SimpleNamespace(replayed=replayed, waiting=waiting, current=current)
    items = ItemLogMetrics(SimpleNamespace(now=SimpleNamespace(live=live), items_behind=7.5))
    found = told(CacheMetrics({"users": Kept("ab")}), BesideMetrics(beside), items)
    assert found['souk_cache_reads_total{cache="users",outcome="hit"}'] == 3
    assert found['souk_cache_reads_total{cache="users",outcome="miss"}'] == 2
    assert found['souk_cache_entries{cache="users"}'] == 2 and found['souk_cache_bytes{cache="users"}'] == 640
    assert found["souk_tensorflow_bytes"] == 10**8 and found["souk_tensorflow_starts_total"] == 2
    states = ("taken", "older", "unknown", "refused", "torn", "damaged")
    assert [found[f'souk_item_log_rows{{state="{state}"}}'] for state in states] == [6, 1, 2, 3, 4, 5]
    assert [found[f'souk_waiting_sales{{state="{state}"}}'] for state in ("kept", "given_up")] == [2, 3]
    assert found["souk_item_log_behind_seconds"] == 7.5 and found["souk_items_beside_index"] == 9
