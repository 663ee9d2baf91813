"""Answers recommendation requests over HTTP and gRPC until it is stopped: one KServe model server, model name `souk`
(docs/serving.md)."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from souk.cli import options
from souk.cli.quiet import one_thread, quiet_loading
from souk.errors import SoukError
from souk.index.choice import KINDS
from souk.index.place import check_server
from souk.release.manifest import verify
from souk.store.address import online_store
from souk.store.interface import STALE_HOURS
from souk.workspace import Workspace

if TYPE_CHECKING:
    from souk.serving.workers import Worker


ENDING_SECONDS = 60.0  # that workers may take beside the drain: calls in flight, and what waits to be written


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_workspace(parser)
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for every (default: %(default)s)"
    )
    parser.add_argument(
        "--http-port", type=options.port, default=8080, metavar="N", help="HTTP port, 0 for a free one (8080)"
    )
    parser.add_argument(
        "--grpc-port", type=options.port, default=8081, metavar="N", help="gRPC port, 0 for a free one (8081)"
    )
    parser.add_argument(
        "--release", default="", metavar="R", help="a release's name or folder, instead of the current one"
    )
    parser.add_argument(
        "--workers",
        type=options.at_least_one,
        default=1,
        metavar="N",
        help="processes that answer together, each a whole server in memory: one for each core of a machine, and one "
        "for a pod, of which there are replicas (default: %(default)s)",
    )
    parser.add_argument(
        "--index",
        choices=KINDS,
        default="auto",
        help="what searches candidates: all products (exact), lists (ivf) or a graph (hnsw) in process, or Milvus; "
        "auto is Milvus with --milvus-uri, else by the size of the catalogue (default: %(default)s)",
    )
    parser.add_argument(
        "--milvus-uri",
        default="",
        metavar="URI",
        help="a Milvus server to search, http://HOST:PORT, instead of in process",
    )
    parser.add_argument(
        "--redis-uri",
        default=None,
        metavar="URI",
        help="the Redis that holds the user states, instead of where they were published last",
    )
    parser.add_argument(
        "--store-timeout-ms",
        type=options.at_least_one,
        default=50,
        metavar="N",
        help="longest wait for a Redis (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout-ms",
        type=options.at_least_one,
        default=200,
        metavar="N",
        help="longest that a request takes which does not say how long it may (default: %(default)s)",
    )
    parser.add_argument(
        "--reload-seconds",
        type=options.not_negative,
        default=0.5,
        metavar="S",
        help="how often to look whether another release is current, 0 for never (default: %(default)g)",
    )
    parser.add_argument(
        "--drain-seconds",
        type=options.not_negative,
        default=0.0,
        metavar="S",
        help="from SIGTERM until no new connection is taken; it answers meanwhile and is not ready (%(default)g)",
    )
    parser.add_argument(
        "--stale-hours",
        type=options.not_negative,
        default=STALE_HOURS,
        metavar="H",
        help="user states written longer ago are reported as stale, 0 for none (default: %(default)g)",
    )
    parser.add_argument(
        "--user-cache-seconds",
        type=options.not_negative,
        default=None,
        metavar="S",
        help="how long a user's state is kept; events sent to this process end it at once; 0 for never "
        "(default: 5; of several workers 0)",
    )
    parser.add_argument(
        "--slate-cache-seconds",
        type=options.not_negative,
        default=10.0,
        metavar="S",
        help="how long slates of requests without a user are kept, 0 for never (default: %(default)g)",
    )
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="how logs are written to stderr; json has a line for each call too (default: %(default)s)",
    )
    parser.add_argument(
        "--impressions",
        action="append",
        default=[],
        metavar="PLACE",
        help="where impressions go: a folder, the URL of an object store, or kafka://HOST:PORT[,HOST:PORT]/TOPIC; "
        "twice for both, files and Kafka (default: the workspace's folder)",
    )
    parser.add_argument(
        "--kafka-config",
        default="",
        metavar="FILE",
        help="settings of librdkafka, as key=value lines, for TLS and SASL",
    )
    parser.add_argument(
        "--token-file",
        default="",
        metavar="FILE",
        help="bearer tokens, one a line; callers have to send one (docs/security.md); read again when it changes",
    )
    parser.add_argument(
        "--flush-seconds",
        type=options.positive,
        default=5.0,
        metavar="S",
        help="longest wait of an impression (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 after it was told to stop."""
    if arguments.http_port == arguments.grpc_port != 0:
        raise SoukError("two ports", f"{arguments.http_port} for HTTP and gRPC", "Give another --grpc-port, or 0.")
    check_server(arguments.milvus_uri)
    if arguments.redis_uri:
        online_store(arguments.redis_uri, "")  # a wrong one would be told at the first request only
    folder = Workspace(Path(arguments.workspace)).served_folder(arguments.release)
    if arguments.log_format == "text":
        print(f"loading {folder.name}", file=sys.stderr, flush=True)
    verify(folder)  # the server looks again, but a minute later: after all that it imports
    if arguments.workers == 1:
        _answer(arguments)
        return 0
    if arguments.index == "milvus" and not arguments.milvus_uri:
        remedy = "Give --milvus-uri, or leave --index out: search in process is the faster one."
        raise SoukError("the address of a Milvus server for --workers", "Milvus Lite, which one process has", remedy)
    from souk.serving import logs
    from souk.serving.workers import Workers

    logs.configure(arguments.log_format)
    if not arguments.reload_seconds:
        arguments.release = str(folder)  # one that starts later, too
    given = argparse.Namespace(**{name: value for name, value in vars(arguments).items() if not callable(value)})
    ports = arguments.http_port, arguments.grpc_port
    patience = arguments.drain_seconds + ENDING_SECONDS
    Workers(arguments.workers, partial(_answer, given), arguments.host, *ports, _say, patience).run()
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _answer(arguments: argparse.Namespace, worker: Worker | None = None) -> None:
    """Serves in this process, alone or as one of several."""
    one_thread()
    with quiet_loading():
        from souk.serving.server import serve
        from souk.store.feast_store import Access

    seconds = arguments.user_cache_seconds
    stale_ms = int(arguments.stale_hours * 3_600_000)
    serve(
        workspace=arguments.workspace,
        host=arguments.host,
        http_port=arguments.http_port,
        grpc_port=arguments.grpc_port,
        release=arguments.release,
        milvus_uri=arguments.milvus_uri,
        index=arguments.index,
        flush_seconds=arguments.flush_seconds,
        log_format=arguments.log_format,
        user_cache_seconds=seconds if seconds is not None else 0.0 if worker else 5.0,
        slate_cache_seconds=arguments.slate_cache_seconds,
        token_file=arguments.token_file,
        timeout_ms=arguments.timeout_ms,
        reload_seconds=arguments.reload_seconds,
        impressions=arguments.impressions,
        kafka_config=arguments.kafka_config,
        drain_seconds=arguments.drain_seconds,
        access=Access(arguments.redis_uri, arguments.store_timeout_ms, stale_ms),
        report=worker.report if worker else _say,
        worker=worker,
    )
