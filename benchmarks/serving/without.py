"""`python -m benchmarks.serving.without --workspace W`: what each optimisation of the request path saves.

A server as it is, and one for each optimisation without it, are asked in turn, blocks of the same users, by a few
callers at a time, so that requests wait together as they do under load. What the machine does beside is done to all of
them alike.
"""

from __future__ import annotations

import argparse
import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import table, write
from benchmarks.serving.kept import once
from benchmarks.serving.process import HOST, running, spent, user_ids
from souk.workspace import Workspace

AS_IT_IS = "as it is"
WITHOUT = {  # what undoes each in a server's process, before it starts
    "graphs: TensorFlow answers": "import souk.serving.signatures as s; s.SavedModel.graph = lambda self, name: None",
    "answering together": "import souk.serving.turns as s; s.MOST = 1",
    "one thread a computation": "import souk.cli.quiet as s; s.one_thread = lambda: None",
    "the direct V1 call": "import souk.serving.protocol.direct as s; s.DirectPredict._asked = lambda self, scope: None",
    "uvloop": "import asyncio, uvloop as s; s.new_event_loop = asyncio.new_event_loop",
    "states kept for seconds": "import sys; sys.argv += ['--user-cache-seconds', '0']",
    "search in process: Milvus Lite": "import sys; sys.argv += ['--index', 'milvus']",
}
START = "from souk.cli import main; raise SystemExit(main())"
BLOCK = 100  # requests, before another server is asked


def main() -> None:
    """Reads the arguments, measures, prints, and writes `benchmarks/results/without.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.without", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument("--rounds", type=int, default=10, help=f"blocks of {BLOCK} requests (%(default)s)")
    parser.add_argument("--callers", type=int, default=4, help="at a time (%(default)s)")
    parser.add_argument("--only", nargs="*", default=list(WITHOUT), choices=list(WITHOUT), help="leave these out only")
    given = parser.parse_args()
    users = user_ids(given.workspace)
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(running(command(given.workspace, WITHOUT.get(name, "")), "souk"))
            for name in (AS_IT_IS, *given.only)
        }
        processes = {name: (port, process.pid) for name, (port, process) in servers.items()}
        rows = compared(processes, users, given.rounds, given.callers)
    print(table(rows))
    write("without", rows, Workspace(given.workspace).current_release())


def command(workspace: Path, undone: str) -> list[str]:
    """The words of a server."""
    words = ["serve", "--workspace", str(workspace), "--http-port", "{port}", "--grpc-port", "0"]
    return ["-c", f"{undone}\n{START}", *words, "--timeout-ms", "10000"]


def compared(
    servers: dict[str, tuple[int, int]], users: Sequence[str], rounds: int, callers: int
) -> list[dict[str, Any]]:
    """A row for each server, `(port, process)`: latencies, and the processor's time of its process."""
    open_ = {
        name: [http.client.HTTPConnection(HOST, port, timeout=60) for _ in range(callers)]
        for name, (port, _) in servers.items()
    }
    took: dict[str, list[float]] = {name: [] for name in servers}
    cost = dict.fromkeys(servers, 0.0)
    with ThreadPoolExecutor(callers) as pool:
        for turn in range(rounds + 1):  # the first warms up
            block = [users[(turn * BLOCK + place) % len(users)] for place in range(BLOCK)]
            for name, (_, process) in servers.items():
                before = spent(process)
                parts = pool.map(asked, open_[name], [block[caller::callers] for caller in range(callers)])
                seconds = [each for part in parts for each in part]
                if turn:
                    took[name] += seconds
                    cost[name] += spent(process) - before
    return [row(name, took[name], cost[name], cost[AS_IT_IS]) for name in servers]


def asked(connection: http.client.HTTPConnection, users: Sequence[str]) -> list[float]:
    """Seconds of each call of one caller."""
    return [once(connection, {"user_id": user, "k": 20})[0] for user in users]


def row(name: str, took: Sequence[float], cost: float, whole: float) -> dict[str, Any]:
    """What one server took."""
    p50, p99 = np.percentile(took, [50, 99]) * 1000
    return {
        "without": "–" if name == AS_IT_IS else name,
        "calls": len(took),
        "p50 ms": round(float(p50), 1),
        "p99 ms": round(float(p99), 1),
        "CPU ms a call": round(1000 * cost / len(took), 2),
        "CPU, as it is = 1": round(cost / whole, 2),
    }


if __name__ == "__main__":
    main()
