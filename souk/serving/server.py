"""`souk serve`: the release of a workspace behind one KServe model server."""

from __future__ import annotations

import gc
import json
import os
import shlex
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import REGISTRY

from souk.listening import address, bind
from souk.release.golden import read_golden
from souk.release.in_use import SAY_SECONDS
from souk.serving import logs
from souk.serving.beside import Beside
from souk.serving.budget import Guards
from souk.serving.events.live import LiveEvents
from souk.serving.events.route import EventsRoute
from souk.serving.experiments.arms import Arms
from souk.serving.experiments.counts import ArmCounts, ArmMetrics
from souk.serving.impressions.log import ImpressionLog
from souk.serving.impressions.logs import close_all, logs_of
from souk.serving.in_memory import InMemory
from souk.serving.items.metrics import ItemLogMetrics
from souk.serving.items.route import ItemsRoute
from souk.serving.items.sales import Sales
from souk.serving.memory import seldom_walked, settled
from souk.serving.metrics import (
    BesideMetrics,
    CacheMetrics,
    EventMetrics,
    ImpressionMetrics,
    PathMetrics,
    ServingMetrics,
)
from souk.serving.model import NAME, SoukModel
from souk.serving.openapi import ApiDocument
from souk.serving.process_name import process_name
from souk.serving.protocol.drain import Drain
from souk.serving.protocol.token import Tokens
from souk.serving.protocol.tracing import opened
from souk.serving.protocol.transport import RecommenderServer
from souk.serving.recall_probe import RecallProbe
from souk.serving.releases import POLITE, Releases, Served, often
from souk.serving.served import Reader, open_events, states_of
from souk.serving.slate_cache import SlateCache
from souk.serving.user_cache import UserCaches
from souk.serving.worker_metrics import offer
from souk.serving.workers import Worker
from souk.store.feast_store import Access
from souk.workspace import Workspace

GRACE_SECONDS = 20
SWITCH_SECONDS = 0.0005  # that one thread may keep another waiting for Python's lock; 5 ms is a whole request
PROBE_SECONDS = 30.0  # between two looks at what the index finds
ITEM_SECONDS = 0.25  # between two looks at what other servers did to items: tens of microseconds without news
WITH_TOKEN = '-H "Authorization: Bearer $TOKEN" '  # curl's header, where callers need one
COUNT_SECONDS = 1.0  # between two at what everybody engaged with


def serve(
    workspace: str | Path,
    host: str = "127.0.0.1",
    http_port: int = 8080,
    grpc_port: int = 8081,
    release: str = "",
    milvus_uri: str = "",
    index: str = "auto",
    flush_seconds: float = 5.0,
    access: Access | None = None,
    timeout_ms: int = 200,
    reload_seconds: float = 0.5,
    log_format: str = "text",
    user_cache_seconds: float = 5.0,
    slate_cache_seconds: float = 10.0,
    impressions: Sequence[str] = (),
    kafka_config: str = "",
    token_file: str = "",
    drain_seconds: float = 0.0,
    report: Callable[[str], None] = print,
    worker: Worker | None = None,
) -> None:
    """Serves until SIGTERM or SIGINT; then answers the calls in flight and writes the impressions that wait.

    It may start a process that imports the program's main module again: guard what that does by `__name__`.

    Args:
        workspace: the workspace folder.
        host: the address to listen on; 127.0.0.1 is this machine only, 0.0.0.0 every network.
        http_port: 0 for any free one.
        grpc_port: 0 for any free one.
        release: a release's folder; "" for the workspace's current one.
        milvus_uri: the address of a Milvus server; "" for Milvus Lite in the workspace.
        index: where candidates are searched, one of `souk.index.choice.KINDS`.
        flush_seconds: the longest that an impression waits to be written.
        access: where the user states are, and how long they are waited for.
        timeout_ms: how long a request that says nothing of it may take.
        reload_seconds: how often the workspace is asked whether another release is current, and whether its experiments
            changed; 0 for never. A release that was named is kept.
        user_cache_seconds: how long a user's state is kept that this server was told no event of; 0 keeps none.
        slate_cache_seconds: how long slates of requests without a user are kept; 0 keeps none.
        log_format: one of `souk.serving.logs.FORMATS`.
        impressions: where impressions go (souk.serving.impressions.logs); the workspace's folder where none is named.
        kafka_config: a file with settings for Kafka.
        token_file: bearer tokens, one a line, of which callers have to send one; "" for no such need.
        drain_seconds: from SIGTERM until no new connection is taken; meanwhile the server answers, and is not ready.
        report: is told, once the server answers, how to call it.
        worker: which of several servers of the same ports this is; None for one alone.

    Raises:
        SoukError: no release, a damaged one, one that fails its golden requests, or a port that is taken.
    """
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # KServe 0.21's, once for each route
    logs.configure(log_format)
    sys.setswitchinterval(SWITCH_SECONDS)
    tracing = opened(os.environ)
    place = Workspace(Path(workspace))
    tokens = Tokens(token_file) if token_file else None
    listening = worker.listening if worker else bind(host, http_port)
    writer = process_name(now())
    recorders = logs_of(place, impressions, kafka_config, writer, now, flush_seconds)
    guards, access = Guards.within(timeout_ms / 1000), access or Access()
    metrics = ServingMetrics(REGISTRY)
    users, slates = UserCaches(user_cache_seconds), SlateCache(slate_cache_seconds)
    REGISTRY.register(CacheMetrics({"users": users, "slates": slates}))
    beside = Beside()
    told = metrics.followed, metrics.aged, users, metrics.damaged, beside
    reader = Reader(place, index, milvus_uri, access, timeout_ms, guards, now, report, *told)
    memory = InMemory(reader.ready)
    releases = Releases(memory.ready(place.served_folder(release)), place.served_folder, memory.ready)
    arms = Arms(releases, place.experiments, memory.ready, place.release_folder, ArmCounts(), slates)
    arms.look()
    REGISTRY.register(ArmMetrics(arms))
    REGISTRY.register(ImpressionMetrics(recorders))
    REGISTRY.register(ItemLogMetrics(releases))
    REGISTRY.register(BesideMetrics(beside))
    model = SoukModel(arms, recorders, metrics, now, lambda: uuid.uuid4().hex, tracing, beside)
    probe = RecallProbe(lambda: releases.now.live.current, now)
    model.load()
    events = open_events(place, releases.now.bundle, access, writer, now, users, Sales(releases).end)

    def changed(served: Served) -> None:
        arms.follow_release(served)
        events.follow(*states_of(place, served.bundle, access, now, users))

    releases.changed, releases.let_go, releases.kept = changed, settled, gc.freeze
    REGISTRY.register(EventMetrics(events, releases))
    described = ApiDocument(releases, secured=tokens is not None)
    taking = ItemsRoute(releases, metrics), EventsRoute(events, releases, metrics, now)
    routes = *taking, described
    rooms = [model.parsing, model.explaining, *(route.room for route in taking)]
    REGISTRY.register(PathMetrics(model.line, releases, probe, rooms))
    name = releases.now.bundle.name

    def register(app: FastAPI) -> None:
        for route in routes:
            route.register(app)

    def ready(port: int) -> None:
        settled()
        seldom_walked()
        url = f"http://{address(host, listening.getsockname()[1])}"
        report(f"{name} answers: {url} (V1, V2), gRPC on port {port}. For example:")
        body = shlex.quote(example(releases.now, sys.stdout.isatty(), now()))
        report(f"curl {url}/v1/models/{NAME}:predict {WITH_TOKEN if tokens is not None else ''}-d {body}")

        if worker:
            offer(worker.folder, worker.number, REGISTRY)
            worker.ready()

    for recorder in recorders:
        recorder.open()
    releases.follow_logs(ITEM_SECONDS, COUNT_SECONDS)
    often(probe.look, PROBE_SECONDS, "recall probe", POLITE)
    often(lambda: reader.keep((releases.now, *releases.beside)), SAY_SECONDS, "releases in use", POLITE)
    if reload_seconds:
        arms.follow(reload_seconds)
    if not release and reload_seconds:
        releases.follow(reload_seconds)
    try:
        drain, grace = Drain(drain_seconds, worker is not None), GRACE_SECONDS
        server = RecommenderServer(
            listening, host, grpc_port, metrics, tracing, grace, ready, register, drain, tokens, worker
        )
        logs.configure(log_format)  # KServe has made its own of it
        server.start([model])
    finally:
        end(beside, events, recorders)
        tracing.close()
        arms.close()
        releases.close()


def end(beside: Beside, events: LiveEvents, recorders: Sequence[ImpressionLog]) -> None:
    """Writes what waits, events and impressions at the same time: neither waits for the other, or for TensorFlow."""
    beside.close()
    taking = threading.Thread(target=events.close, name="the last events")
    taking.start()
    close_all(recorders)
    taking.join()


def example(served: Served, terminal: bool, time: int) -> str:
    """A body that the release has a slate for: of one of its users on a terminal; in a log of an item that can be shown
    at a time, UTC epoch milliseconds, where there is one."""
    users = [golden.user_id for golden, _ in read_golden(served.bundle.folder) if golden.state.events]
    catalogue = served.live.current.catalogue
    shown = catalogue.shown((), time)
    subject = {"user_id": users[0]} if terminal and users else {"item_id": catalogue.ids[int(shown.argmax())]}
    return json.dumps({"instances": [{**subject, "k": 5}]}, ensure_ascii=False)


def now() -> int:
    """The clock, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
