"""Answers recommendation requests over HTTP and gRPC until it is stopped: one KServe model server, model name `souk`
(docs/serving.md)."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from souk.cli import options
from souk.cli.quiet import one_thread, quiet_loading
from souk.index.choice import KINDS
from souk.release.manifest import verify
from souk.store.address import online_store
from souk.store.interface import STALE_HOURS
from souk.workspace import Workspace


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
        "--index",
        choices=KINDS,
        default="auto",
        help="what searches candidates: all products (exact) or a graph (hnsw) in process, or Milvus; "
        "auto is Milvus with --milvus-uri, else by the size of the catalogue (default: %(default)s)",
    )
    parser.add_argument(
        "--milvus-uri", default="", metavar="URI", help="a Milvus server to search, instead of in process"
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
        default=5.0,
        metavar="S",
        help="how long a user's state is kept; events sent to this server end it at once; 0 for never "
        "(default: %(default)g)",
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
    if arguments.redis_uri:
        online_store(arguments.redis_uri, "")  # a wrong one would be told at the first request only
    folder = Workspace(Path(arguments.workspace)).served_folder(arguments.release)
    if arguments.log_format == "text":
        print(f"loading {folder.name}", file=sys.stderr, flush=True)
    verify(folder)  # the server looks again, but a minute later: after all that it imports
    one_thread()
    with quiet_loading():
        from souk.serving.server import serve
        from souk.store.feast_store import Access

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
        user_cache_seconds=arguments.user_cache_seconds,
        slate_cache_seconds=arguments.slate_cache_seconds,
        token_file=arguments.token_file,
        timeout_ms=arguments.timeout_ms,
        reload_seconds=arguments.reload_seconds,
        impressions=arguments.impressions,
        kafka_config=arguments.kafka_config,
        drain_seconds=arguments.drain_seconds,
        access=Access(arguments.redis_uri, arguments.store_timeout_ms, stale_ms),
        report=lambda text: print(text, flush=True),
    )
    return 0
