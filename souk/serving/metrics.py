"""Prometheus metrics of the server, on KServe's `/metrics`."""

from __future__ import annotations

import math
from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from souk.serving.beside import Beside
from souk.serving.dependency import STATES, Dependency
from souk.serving.events.live import LiveEvents
from souk.serving.events.states import Place
from souk.serving.impressions.log import ImpressionLog
from souk.serving.items.outcomes import Followed
from souk.serving.line import Line
from souk.serving.recall_probe import K, RecallProbe
from souk.serving.releases import Releases, Served
from souk.serving.room import Room
from souk.serving.slate import Slate

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.12, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0)  # 0.2 is the budget
STAGE_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
AGE_SECONDS = (60.0, 3600.0, 6 * 3600.0, 86_400.0, 2 * 86_400.0, 7 * 86_400.0, 30 * 86_400.0)
RELEASES = 4  # of which slates are counted at a time: whoever serves for months has seen many
LAG_SECONDS = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)


class ServingMetrics:
    """Requests by protocol and code, their latency, and the slates by why they are degraded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "souk_requests",
            "Calls for recommendations, by protocol and status",
            ["protocol", "code"],
            registry=registry,
        )
        self._latency = Histogram(
            "souk_request_seconds", "Seconds from call to answer", ["protocol"], buckets=SECONDS, registry=registry
        )
        self._slates = Counter("souk_slates", "Requests answered with a slate", ["release"], registry=registry)
        self._of_users = Counter("souk_user_slates", "Slates of requests that name a user", registry=registry)
        self._degraded = Counter(
            "souk_degraded_slates", "Slates by degraded reason", ["reason", "release"], registry=registry
        )
        self._releases: dict[str, None] = {}
        self._stages = Histogram(
            "souk_stage_seconds",
            "Seconds of a stage, for the requests of one batch together",
            ["stage"],
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self._ages = Histogram(
            "souk_feature_age_seconds",
            "Seconds since a user state that was read was written",
            buckets=AGE_SECONDS,
            registry=registry,
        )

        self._damaged = Counter("souk_damaged_states", "Reads of a user state whose row is none", registry=registry)

        self._items = Counter(
            "souk_items", "Rows of items sent to the server, by outcome", ["outcome"], registry=registry
        )

        self._followed = Counter(
            "souk_followed_items", "Rows of items that other servers took, by outcome", ["outcome"], registry=registry
        )
        self._item_lag = Histogram(
            "souk_item_lag_seconds",
            "Seconds from an item's row at another server to its effect here, by the clocks of both",
            buckets=LAG_SECONDS,
            registry=registry,
        )

        self._events = Counter("souk_events", "Events sent to the server, by outcome", ["outcome"], registry=registry)

    def events(self, accepted: int, duplicates: int, refused: int) -> None:
        """Counts the events of one call."""
        for outcome, count in (("accepted", accepted), ("duplicate", duplicates), ("refused", refused)):
            self._events.labels(outcome).inc(count)

    def items(self, accepted: int, refused: int) -> None:
        """Counts the rows of one call."""
        self._items.labels("accepted").inc(accepted)
        self._items.labels("refused").inc(refused)

    def followed(self, rows: Followed) -> None:
        """Counts what other servers did to items, and how long it took to get here."""
        counts = {"taken": len(rows.taken), "older": rows.older, "unknown": rows.unknown, "refused": rows.refused}
        for outcome, count in counts.items():
            self._followed.labels(outcome).inc(count)
        for time in rows.taken:
            self._item_lag.observe(max(0, rows.at - time) / 1000)

    def observe(self, protocol: str, code: str, seconds: float) -> None:
        """Counts one call."""
        self._requests.labels(protocol, code).inc()
        self._latency.labels(protocol).observe(seconds)

    def refuse(self, code: str) -> None:
        """Counts a call that has no protocol here and no token."""
        self._requests.labels("other", code).inc()

    def stages(self, seconds: Mapping[str, float]) -> None:
        """Observes what a batch, or a call, spent on each stage."""
        for stage, spent in seconds.items():
            self._stages.labels(stage).observe(spent)

    def aged(self, seconds: float) -> None:
        """Observes how old a user state is."""
        self._ages.observe(seconds)

    def damaged(self) -> None:
        """Counts a row that is no user state."""
        self._damaged.inc()

    def count(self, slates: Iterable[Slate]) -> None:
        """Counts the slates of one call."""
        for slate in slates:
            if slate.release not in self._releases:
                self._known(slate.release)
            self._slates.labels(slate.release).inc()
            self._of_users.inc(bool(slate.user_id))
            for reason in slate.degraded:
                self._degraded.labels(reason, slate.release).inc()

    def _known(self, release: str) -> None:
        """Forgets the counts of the oldest release beyond RELEASES."""
        self._releases[release] = None
        while len(self._releases) > RELEASES:
            gone = next(iter(self._releases))
            del self._releases[gone]
            for counter in (self._slates, self._degraded):
                counter.remove_by_labels({"release": gone})


class PathMetrics(Collector):
    """How the request path is at the moment: which release answers, what waits, and what is left alone."""

    def __init__(self, line: Line, releases: Releases, probe: RecallProbe, rooms: Sequence[Room]) -> None:
        self._line, self._releases, self._probe, self._rooms = line, releases, probe, rooms

    def collect(self) -> Iterator[Metric]:
        """The release, its changes, requests in the line, and each dependency's breaker: 1 for the state it is in."""
        release = GaugeMetricFamily("souk_release", "1 for the release that answers", labels=["release"])
        release.add_metric([self._releases.now.bundle.name], 1.0)
        yield release
        until = GaugeMetricFamily("souk_trained_until_seconds", "End of what it learned from", labels=["release"])
        until.add_metric([self._releases.now.bundle.name], self._releases.now.bundle.settings.trained_until / 1000)
        yield until
        changes = CounterMetricFamily("souk_release_changes", "Releases that the pointer named", labels=["outcome"])
        changes.add_metric(["taken"], self._releases.taken)
        changes.add_metric(["refused"], self._releases.refused)
        yield changes
        recall = GaugeMetricFamily("souk_index_recall", f"Recall at {K} of the last probe of an index")
        if not math.isnan(self._probe.recall):
            recall.add_metric([], self._probe.recall)
        yield recall
        alive = self._releases.alive
        yield GaugeMetricFamily("souk_releases_in_memory", "Releases that are still held", value=len(alive))
        memory = GaugeMetricFamily("souk_release_bytes", "Arrays and models of releases in memory", labels=["release"])
        taken = Counts[str]()
        for served in {id(served.bundle): served for served in alive}.values():  # two may share what was read once
            taken[served.bundle.name] += served.bytes
        for name, size in taken.items():
            memory.add_metric([name], size)
        yield memory
        yield GaugeMetricFamily("souk_waiting_requests", "Requests that wait or are answered", value=self._line.waiting)
        calls = GaugeMetricFamily(
            "souk_waiting_calls", "Calls beside slates that wait or are answered", labels=["kind"]
        )
        for room in self._rooms:
            calls.add_metric([room.name], room.waiting)
        yield calls
        yield breakers({"": self._releases.now, **{each.bundle.name: each for each in self._releases.beside}})


def breakers(releases: Mapping[str, Served]) -> Metric:
    """The breakers of releases: "" for the one that answers. What it shares with the others is told of it alone."""
    family = GaugeMetricFamily("souk_breaker", "Breakers by state", labels=["dependency", "release", "state"])
    told = set[Dependency]()
    for release, served in releases.items():
        for guard in served.live.current.breakers:
            now = guard.state
            for state in STATES if guard not in told else ():
                family.add_metric([guard.name, release, state], float(now == state))
            told.add(guard)
    return family


class Cache(Protocol):
    """What is told of a cache."""

    reads: Counts[str]

    @property
    def bytes(self) -> int:
        """What the entries take, by an estimate."""

    def __len__(self) -> int:
        """Entries."""


class CacheMetrics(Collector):
    """How often a cache had what was asked for."""

    def __init__(self, caches: Mapping[str, Cache]) -> None:
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        """Reads by cache and outcome, entries, and bytes."""
        reads = CounterMetricFamily("souk_cache_reads", "Reads of a cache", labels=["cache", "outcome"])
        entries = GaugeMetricFamily("souk_cache_entries", "What a cache keeps", labels=["cache"])
        taken = GaugeMetricFamily("souk_cache_bytes", "What that takes, by an estimate", labels=["cache"])
        for name, cache in self._caches.items():
            for outcome in ("hit", "miss"):
                reads.add_metric([name, outcome], cache.reads[outcome])
            entries.add_metric([name], len(cache))
            taken.add_metric([name], cache.bytes)
        yield reads
        yield entries
        yield taken


class BesideMetrics(Collector):
    """The process that runs what TensorFlow has to."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside

    def collect(self) -> Iterator[Metric]:
        """Its memory, and how often it was started."""
        yield GaugeMetricFamily("souk_tensorflow_bytes", "Memory of TensorFlow's process", value=self._beside.bytes)
        yield CounterMetricFamily("souk_tensorflow_starts", "Starts of that process", value=self._beside.starts)


class EventMetrics(Collector):
    """Where events came in their users' histories, and what the log gave at the start."""

    def __init__(self, live: LiveEvents, releases: Releases) -> None:
        self._live, self._releases = live, releases

    def collect(self) -> Iterator[Metric]:
        """Read when they are asked for."""
        places = CounterMetricFamily("souk_event_places", "Events taken into user states", labels=["place"])
        for place in Place:
            places.add_metric([place], self._live.places.get(place, 0))
        yield places
        yield GaugeMetricFamily("souk_event_files_behind", "Log files not wholly in states", value=self._live.behind)
        start = GaugeMetricFamily("souk_event_log", "What the log of events gave at the start", labels=["state"])
        for state, count in asdict(self._live.loaded).items():
            start.add_metric([state], count)
        yield start
        own, *others = (served.counts for served in (self._releases.now, *self._releases.beside))
        counted, behind = own.counted if own else 0, max(each.behind if each else 0.0 for each in (own, *others))
        yield GaugeMetricFamily("souk_counted_engagements", "Engagements of the log in counts", value=counted)
        yield GaugeMetricFamily("souk_counting_behind_seconds", "Seconds since all were in them", value=behind)


class ImpressionMetrics(Collector):
    """The counts of impression logs, read when they are asked for."""

    def __init__(self, logs: Sequence[ImpressionLog]) -> None:
        self._logs = logs

    def collect(self) -> Iterator[Metric]:
        """One family for each count."""
        of = ["sink"]
        families: dict[str, Any] = {
            "answered": CounterMetricFamily("souk_impressions_answered", "Answers given to the log", labels=of),
            "written": CounterMetricFamily("souk_impressions_written", "Impression records in the sink", labels=of),
            "dropped": CounterMetricFamily("souk_impressions_dropped", "Impression records given up", labels=of),
            "lost": CounterMetricFamily("souk_impressions_lost", "Records of killed processes before", labels=of),
            "pending": GaugeMetricFamily("souk_impressions_pending", "Impression records that wait", labels=of),
        }
        for log in self._logs:
            for name, count in asdict(log.counts).items():
                families[name].add_metric([log.sink.name], count)
        yield from families.values()
