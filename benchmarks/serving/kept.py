"""`python -m benchmarks.serving.kept --workspace W`: what a server's caches save, and what traces and JSON logs cost.

Four servers of one workspace are asked in turn, a connection each, blocks of the same requests: one that keeps nothing,
one with its caches, one that tells a collector of each call, one that writes JSON logs. What the machine does beside is
done to all of them alike.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.__main__ import table, write
from benchmarks.serving.load import WHOLE
from benchmarks.serving.process import HOST, running, spent, user_ids
from souk.workspace import Workspace

PREDICT = "/v1/models/souk:predict"
OFF = ("--user-cache-seconds", "0", "--slate-cache-seconds", "0")
ON = ("--user-cache-seconds", "60", "--slate-cache-seconds", "60")
KINDS = ("kept", "traced", "JSON logs")
BLOCK = 50  # requests, before another server is asked


def main() -> None:
    """Reads the arguments, measures, prints, and writes `benchmarks/results/kept.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.kept", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument("--rounds", type=int, default=20, help=f"blocks of {BLOCK} requests (%(default)s)")
    parser.add_argument("--servers", nargs="*", default=KINDS, choices=KINDS, help="beside the one that keeps nothing")
    given = parser.parse_args()
    users = user_ids(given.workspace)[:BLOCK]
    items = item_ids(given.workspace)[:BLOCK]
    asked = {
        "a user": [{"user_id": user, "k": 20} for user in users],
        "similar items": [{"item_id": item, "k": 20} for item in items],
    }
    with ExitStack() as stack, collector() as url:
        traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        servers = {
            name: stack.enter_context(served(given.workspace, words, variables))
            for name, words, variables in (
                ("nothing kept", OFF, {}),
                ("kept", ON, {}),
                ("traced", OFF, traced),
                ("JSON logs", (*OFF, "--log-format", "json"), {}),
            )
            if name == "nothing kept" or name in given.servers
        }
        rows = [row for name, bodies in asked.items() for row in compared(name, bodies, servers, given.rounds)]
    print(table(rows))
    write("kept", rows, Workspace(given.workspace).current_release())


def compared(
    name: str, instances: Sequence[dict[str, Any]], servers: dict[str, tuple[int, int]], rounds: int
) -> Iterator[dict[str, Any]]:
    """A row for each server, `(port, process)`: latencies and the processor's time of its process."""
    connections = {server: http.client.HTTPConnection(HOST, port, timeout=60) for server, (port, _) in servers.items()}
    took: dict[str, list[float]] = {server: [] for server in servers}
    cost, degraded = dict.fromkeys(servers, 0.0), dict.fromkeys(servers, 0)
    for turn in range(rounds + 1):  # the first warms up
        for server, (_, process) in servers.items():
            before = spent(process)
            answers = [once(connections[server], instance) for instance in instances]
            if turn:
                took[server] += [seconds for seconds, _ in answers]
                degraded[server] += sum(less for _, less in answers)
                cost[server] += spent(process) - before
    for server, times in took.items():
        p50, p99 = np.percentile(times, [50, 99]) * 1000
        yield {
            "asked for": name,
            "server": server,
            "calls": len(times),
            "degraded": degraded[server],
            "p50 ms": round(float(p50), 2),
            "p99 ms": round(float(p99), 2),
            "CPU ms a call": round(1000 * cost[server] / len(times), 2),
            "CPU, nothing kept = 1": round(cost[server] / cost["nothing kept"], 2),
        }


def once(connection: http.client.HTTPConnection, instance: dict[str, Any]) -> tuple[float, bool]:
    """Seconds of one call, and whether its slate is degraded."""
    body = json.dumps({"instances": [{**instance, "timeout_ms": 10_000}]})
    began = time.perf_counter()
    connection.request("POST", PREDICT, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    seconds = time.perf_counter() - began
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:200]!r}")
    return seconds, WHOLE not in text


def item_ids(workspace: Path) -> list[str]:
    """The items of the current release that may be shown."""
    items = pq.read_table(Workspace(workspace).served_folder() / "items.parquet", columns=["item_id", "available"])
    return [row["item_id"] for row in items.to_pylist() if row["available"]]


@contextmanager
def served(workspace: Path, words: Sequence[str], variables: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The port and the process of a server of a workspace."""
    command = ["-m", "souk", "serve", "--workspace", str(workspace), "--http-port", "{port}", "--grpc-port", "0"]
    command += ["--timeout-ms", "10000"]
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        with ExitStack() as stack:
            port, process = stack.enter_context(running([*command, *words], "souk"))
            os.environ.clear()
            os.environ.update(before)
            yield port, process.pid
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def collector() -> Iterator[str]:
    """The address of a collector that takes spans and forgets them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}"
    finally:
        server.shutdown()


if __name__ == "__main__":
    main()
