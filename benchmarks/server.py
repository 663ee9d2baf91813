"""The server's p50, p99 and requests per second at concurrency 8, beside a KServe server with an empty model.

Server and client share the machine's cores, in both cases alike: the ratio is the figure to keep.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.client import HOST
from benchmarks.setting import Setting

CONCURRENCY, REQUESTS, PATIENCE = 8, 3000, 120.0


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One row a server: the empty one, and the recommender with requests of one user each."""
    workspace = setting.released()
    bodies = setting.scratch / "bodies.jsonl"
    users = user_ids(workspace)
    bodies.write_text("".join(json.dumps({"instances": [{"user_id": user}]}) + "\n" for user in users))
    with running(["-m", "benchmarks.empty_server", "{port}"], "empty") as port:
        empty = loaded(port, "empty", bodies)
    command = ["-m", "souk.cli", "serve", "--workspace", str(workspace), "--http-port", "{port}", "--grpc-port", "0"]
    with running(command, "souk") as port:
        souk = loaded(port, "souk", bodies)
    ratio = round(empty["requests/s"] / souk["requests/s"], 1)
    return [{"server": "KServe, empty model", **empty, "times": 1.0}, {"server": "souk", **souk, "times": ratio}]


def user_ids(workspace: Path) -> list[str]:
    """The users of the newest tables that the pipeline wrote."""
    newest = max(workspace.glob("runs/**/tables/users.parquet"), key=lambda path: path.stat().st_mtime)
    return [str(user) for user in pq.read_table(newest, columns=["user_id"])["user_id"].to_pylist()]


def loaded(port: int, model: str, bodies: Path) -> dict[str, Any]:
    """What `benchmarks.client` measures, in a process of its own."""
    words = [str(port), f"/v1/models/{model}:predict", str(bodies)]
    counts = ["--requests", str(REQUESTS), "--concurrency", str(CONCURRENCY)]
    command = [sys.executable, "-m", "benchmarks.client", *words, *counts]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    values = json.loads(done.stdout)
    if set(values.pop("statuses")) != {"200"}:
        raise RuntimeError(f"answers of {model} other than 200: {done.stdout}")
    return dict(values)


@contextlib.contextmanager
def running(command: Sequence[str], model: str) -> Iterator[int]:
    """A server process that is ready, on a free port that replaces `{port}`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = int(probe.getsockname()[1])
    words = [sys.executable, *(word.format(port=port) for word in command)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, model, process)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(port: int, model: str, process: subprocess.Popen[bytes]) -> None:
    until, url = time.monotonic() + PATIENCE, f"http://{HOST}:{port}/v2/models/{model}/ready"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server of {model} ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            if json.loads(answer.read()).get("ready"):
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server of {model} was not ready within {PATIENCE:.0f} s")
