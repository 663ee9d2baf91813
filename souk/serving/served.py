"""What stands around a release that is served: its folder, its index, the user states, its golden requests."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from souk.counts import ItemCounts
from souk.index import hnsw, ivf
from souk.index.choice import chosen
from souk.index.interface import Index, IndexUnavailable
from souk.index.late import LateIndex
from souk.index.milvus import MilvusIndex, open_again, open_or_build
from souk.index.partial import read
from souk.ingest.checks import LATER_MS
from souk.ingest.live import EventCheck
from souk.release.bundle import Bundle
from souk.release.golden import GoldenRequest, replay_golden
from souk.release.manifest import read_manifest, verify
from souk.serving.beside import Beside, Run, here
from souk.serving.budget import Guards
from souk.serving.events.backlog import StateWriter
from souk.serving.events.counts import LiveCounts
from souk.serving.events.live import LiveEvents
from souk.serving.events.log import EventLog
from souk.serving.in_use import keep, need
from souk.serving.items.live import LiveItems
from souk.serving.items.log import ItemLog
from souk.serving.items.outcomes import Followed
from souk.serving.memory import array_bytes, model_bytes
from souk.serving.recommender import Recommender
from souk.serving.releases import Ready, Served
from souk.serving.request import Request, RequestParser
from souk.serving.user_cache import UserCaches
from souk.store.definitions import publication
from souk.store.feast_store import Access, FeastStore
from souk.workspace import Workspace

logger = logging.getLogger(__name__)
COUNTING_SECONDS = 0.2  # at a time
EVENTS_TIMEOUT_MS = 1000  # no request waits for it, and a state that is not written waits for its next event


def open_index(
    workspace: Workspace, bundle: Bundle, uri: str, report: Callable[[str], None], kind: str = "auto"
) -> Index | None:
    """The index that answers a bundle's requests, built first where it is missing; None for exact search in process.

    Milvus that cannot be opened is handed on closed: searches fall back, say so, and open it once it can be.

    Args:
        workspace: where Milvus Lite keeps its files.
        bundle: the bundle.
        uri: the address of a Milvus server; "" for Milvus Lite.
        report: is told how far the building is.
        kind: one of `souk.index.choice.KINDS`.
    """
    kind = chosen(kind, len(bundle.vectors), uri)
    if kind == "exact":
        return None
    if kind == "ivf":
        return _lists(bundle, report)
    if kind == "hnsw":
        return _graph(bundle, report)
    collection = bundle.settings.collection
    where = uri or str(workspace.milvus / f"{collection}.db")

    def opened(by: Callable[..., MilvusIndex]) -> MilvusIndex:
        index = by(where, collection, bundle.vectors, bundle.indexed, report)
        if uri:
            keep(workspace, uri, collection)
        return index

    try:
        return opened(open_or_build)
    except (IndexUnavailable, OSError) as error:
        logger.error("serving without the index: %s", error)
        return LateIndex(bundle.indexed, partial(opened, open_again))


def _lists(bundle: Bundle, report: Callable[[str], None]) -> ivf.IvfIndex:
    """The bundle's lists, or those that are made now."""
    if bundle.ivf.exists():
        return ivf.IvfIndex(read(bundle.ivf), bundle.vectors, bundle.available)
    report(f"putting {len(bundle.vectors):,} vectors into lists")
    return ivf.IvfIndex(ivf.build(bundle.vectors, bundle.indexed), bundle.vectors, bundle.available)


def _graph(bundle: Bundle, report: Callable[[str], None]) -> hnsw.HnswIndex:
    """The graph of a bundle of before, or one that is built now."""
    if bundle.graph.exists():
        return hnsw.HnswIndex(read(bundle.graph), bundle.vectors, bundle.available)
    report(f"building the graph of {len(bundle.vectors):,} vectors")
    return hnsw.HnswIndex(hnsw.build(bundle.vectors), bundle.vectors, bundle.available)


def open_store(workspace: Workspace, bundle: Bundle, access: Access | None = None) -> FeastStore:
    """The user states of a bundle's specification."""
    return FeastStore(workspace.feast, bundle.spec, access)


def with_logs(
    workspace: Workspace,
    bundle: Bundle,
    recommender: Recommender,
    clock: Callable[[], int],
    followed: Callable[[Followed], None] = lambda followed: None,
    settle: bool = False,
    run: Run = here,
    before: LiveCounts | None = None,
) -> tuple[LiveItems, LiveCounts]:
    """The recommender with what was upserted into the workspace's servers so far, and what everybody engaged with.

    What serves it may `settle` the upserts, and counts what is left of a long log while it serves. It begins with what
    the release knows, or with a copy of what was counted `before`, when it was served last: each that serves has counts
    of its own.
    """
    recommender = recommender.with_counts(ItemCounts.of(bundle.counters))
    live = LiveItems(recommender, bundle, ItemLog(workspace.item_log), clock, followed, run).load(settle)
    seen = live.replayed
    if seen.refused or seen.torn or seen.damaged:
        passed = f"{seen.torn} unfinished, {seen.damaged} damaged and {seen.refused} refused ones passed over"
        logger.warning("%s: %d rows taken again; %s", workspace.item_log, seen.taken, passed)
    counts = LiveCounts(workspace.events, bundle.spec, lambda: live.current, clock)
    if before:
        counts.go_on(before)
    counts.follow(COUNTING_SECONDS if settle else float("inf"))
    return live, counts


def open_events(
    workspace: Workspace,
    bundle: Bundle,
    access: Access,
    writer: str,
    clock: Callable[[], int],
    caches: UserCaches,
    sold: Callable[[Sequence[Mapping[str, Any]]], None] = lambda rows: None,
) -> LiveEvents:
    """What takes events into the log of a workspace and the states of a bundle's specification; it is to be closed.

    Args:
        workspace: where the log is.
        bundle: the release.
        access: where the states are.
        writer: names this process in the log.
        clock: UTC epoch milliseconds.
        caches: forget whose states changed.
        sold: see `LiveEvents`.
    """
    log = EventLog(workspace.events, writer, clock)
    return LiveEvents(log, *states_of(workspace, bundle, access, clock, caches), sold=sold).open()


def states_of(
    workspace: Workspace, bundle: Bundle, access: Access, clock: Callable[[], int], caches: UserCaches
) -> tuple[StateWriter, Callable[[], str]]:
    """What takes events into the states of a bundle's specification, and what names these: otherwise after each
    publication, and in a Redis that may have lost some."""
    patient = FeastStore(workspace.feast, bundle.spec, replace(access, timeout_ms=EVENTS_TIMEOUT_MS, stale_ms=0))
    writer = StateWriter(patient, bundle.spec, clock, caches.forget, bundle.bounds.get("events", {}))
    return writer, lambda: f"{publication(workspace.feast, bundle.spec)} {patient.process()}".rstrip()


@dataclass(frozen=True)
class Reader:
    """How a server reads a release.

    Args:
        workspace: where everything is.
        index: where candidates are searched, one of `souk.index.choice.KINDS`.
        milvus_uri: the address of a Milvus server; "" for Milvus Lite in the workspace.
        access: where the user states are.
        timeout_ms: how long a request that says nothing of it may take.
        guards: what stands before the store; before the parts of a release stand others like these, of its own.
        clock: UTC epoch milliseconds.
        report: is told how far the building of an index is.
        followed: is told what other servers of the workspace did to items.
        aged: is told how old each user state is, seconds.
        caches: of user states.
        damaged: is told of each row that is no user state.
        beside: runs what TensorFlow has to; None for this process.
    """

    workspace: Workspace
    index: str
    milvus_uri: str
    access: Access
    timeout_ms: int
    guards: Guards
    clock: Callable[[], int]
    report: Callable[[str], None]
    followed: Callable[[Followed], None] = lambda followed: None
    aged: Callable[[float], None] = lambda seconds: None
    caches: UserCaches = field(default_factory=lambda: UserCaches(0))
    damaged: Callable[[], None] = lambda: None
    beside: Beside | None = None

    def ready(self, folder: Path) -> Ready:
        """Reads, checks and warms the release of a folder.

        Raises:
            SoukError: a damaged one, or one that fails its golden requests.
        """
        need(self.workspace, folder, read_manifest(folder)["name"])
        verify(folder)
        bundle = Bundle.load(folder)
        in_process = Recommender.load(bundle, None, None, self.guards.of_a_release())
        replay_golden(folder, golden_answers(in_process))
        index = open_index(self.workspace, bundle, self.milvus_uri, self.report, self.index)
        models = [bundle.item_tower, bundle.query_tower, bundle.ranker]

        def close() -> None:
            in_process.close()
            if self.beside:
                self.beside.let_go(models)
            if index:
                index.close()

        if self.beside:
            self.beside.hold(models)
            for model, signature in zip(models, ("serve", "explain", "explain"), strict=True):
                self.beside.prepare(model, signature)

        try:
            store = open_store(self.workspace, bundle, self.access)
            store.aged, store.damaged = self.aged, self.damaged
            recommender = in_process.connected(index, self.caches.of(store))
            recommender.recommend([Request("", bundle.settings.slate_size, self.clock())])  # opens all
            taken = array_bytes(bundle, recommender) + model_bytes(bundle.query_tower, bundle.ranker, bundle.item_tower)
        except BaseException:
            close()
            raise

        def serve(before: Served | None = None) -> Served:
            run, counted = self.beside or here, before.counts if before else None
            own = bundle, recommender, self.clock, self.followed
            live, counts = with_logs(self.workspace, *own, True, run, counted)
            if not live.current.catalogue.shown((), self.clock()).any():
                logger.warning("%s: no item is available now, and slates are empty (docs/serving.md)", bundle.name)
            parser = RequestParser.of(bundle, timeout_ms=self.timeout_ms)
            own_words = bundle.names.get("events", {}), bundle.event_types, bundle.bounds.get("events", {})
            later = bundle.settings.trained_until >= LATER_MS
            check = EventCheck(bundle.spec.columns.events, bundle.schema("events"), *own_words, later=later)
            return Served(bundle, live, parser, check, close, taken, counts)

        return Ready(serve, close)

    def keep(self, served: Sequence[Served]) -> None:
        """Says of these releases, and of the collections that they search on a Milvus server, that they are in use."""
        for bundle in (each.bundle for each in served):
            need(self.workspace, bundle.folder, bundle.name)
            if self.milvus_uri and chosen(self.index, len(bundle.vectors), self.milvus_uri) == "milvus":
                keep(self.workspace, self.milvus_uri, bundle.settings.collection)


def golden_answers(recommender: Recommender) -> Callable[[Sequence[GoldenRequest]], list[dict[str, Any]]]:
    """How a recommender answers golden requests, as `souk.release.golden` wants it."""

    def answer(golden: Sequence[GoldenRequest]) -> list[dict[str, Any]]:
        requests = [Request(g.user_id, g.k, g.timestamp, context=g.context, state=g.state) for g in golden]
        return [slate.to_json() for slate in recommender.recommend(requests)]

    return answer
