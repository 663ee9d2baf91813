"""`souk serve`: the release of a workspace behind one KServe model server."""

from __future__ import annotations

import logging
import os
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from prometheus_client import REGISTRY

from souk.ingest.live import EventCheck
from souk.release.bundle import Bundle
from souk.release.golden import replay_golden
from souk.release.manifest import verify
from souk.serving.events_route import EventsRoute
from souk.serving.impressions import ImpressionLog
from souk.serving.items_route import ItemsRoute
from souk.serving.metrics import EventMetrics, ImpressionMetrics, ItemLogMetrics, PathMetrics, ServingMetrics
from souk.serving.model import NAME, SoukModel
from souk.serving.recommender import Recommender
from souk.serving.request import Request, RequestParser
from souk.serving.served import golden_answers, open_events, open_index, open_store, with_upserts
from souk.serving.transport import RecommenderServer, bind
from souk.store.feast_store import Access
from souk.workspace import Workspace

logger = logging.getLogger(__name__)
GRACE_SECONDS = 20


def serve(
    workspace: str | Path,
    host: str = "127.0.0.1",
    http_port: int = 8080,
    grpc_port: int = 8081,
    release: str = "",
    milvus_uri: str = "",
    flush_seconds: float = 5.0,
    access: Access | None = None,
    timeout_ms: int = 200,
    report: Callable[[str], None] = print,
) -> None:
    """Serves until SIGTERM or SIGINT; then answers the calls in flight and writes the impressions that wait.

    Args:
        workspace: the workspace folder.
        host: the address to listen on; 127.0.0.1 is this machine only, 0.0.0.0 every network.
        http_port: 0 for any free one.
        grpc_port: 0 for any free one.
        release: a release's folder; "" for the workspace's current one.
        milvus_uri: the address of a Milvus server; "" for Milvus Lite in the workspace.
        flush_seconds: the longest that an impression waits to be written.
        access: where the user states are, and how long they are waited for.
        timeout_ms: how long a request that says nothing of it may take.
        report: is told, once the server answers, how to call it.

    Raises:
        SoukError: no release, a damaged one, one that fails its golden requests, or a port that is taken.
    """
    warnings.filterwarnings("ignore", message="ORJSONResponse is deprecated")  # KServe 0.21's, once for each route
    place = Workspace(Path(workspace))
    listening = bind(host, http_port)
    folder = place.served_folder(release)
    verify(folder)
    bundle = Bundle.load(folder)
    in_process = Recommender.load(bundle, None, None)
    replay_golden(folder, golden_answers(in_process))
    store = open_store(place, bundle, access)
    recommender = in_process.connected(open_index(place, bundle, milvus_uri, report), store)
    live = with_upserts(place, bundle, recommender, now).warm()
    live.current.recommend([Request("", bundle.settings.slate_size, now())])  # opens the store and the index
    log = ImpressionLog(place.impressions, f"{now()}-{os.getpid()}", now, flush_seconds=flush_seconds)
    metrics = ServingMetrics(REGISTRY)
    REGISTRY.register(ImpressionMetrics(log))
    REGISTRY.register(ItemLogMetrics(live))
    parser = RequestParser(bundle.spec, bundle.settings.slate_size, bundle.settings.max_slate_size, timeout_ms)
    model = SoukModel(live, parser, log, metrics, now, lambda: uuid.uuid4().hex)
    REGISTRY.register(PathMetrics(model.line, recommender.guards))
    model.load()
    events = open_events(place, bundle, access or Access(), f"{now()}-{os.getpid()}", now)
    REGISTRY.register(EventMetrics(events))
    check = EventCheck(bundle.spec.columns.events, bundle.schema("events"))
    routes = ItemsRoute(live, metrics), EventsRoute(events, check, metrics, bundle.name, now)

    def register(app: FastAPI) -> None:
        for route in routes:
            route.register(app)

    def ready(port: int) -> None:
        url = f"http://{host}:{listening.getsockname()[1]}"
        report(f"{bundle.name} answers: {url} (V1, V2), gRPC on port {port}. For example:")
        report(f"""curl {url}/v1/models/{NAME}:predict -d '{{"instances": [{{"user_id": "1", "k": 5}}]}}'""")

    log.open()
    try:
        RecommenderServer(listening, host, grpc_port, metrics, GRACE_SECONDS, ready, register).start([model])
    finally:
        events.close()
        log.close()
        logger.info("impressions: %s", log.counts)


def now() -> int:
    """The clock, UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
