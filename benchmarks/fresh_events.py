"""From an event to its effect: `POST /v1/events`, then the slate of the same user, on sqlite and on Redis.

The workspace is copied, since events change it. An event has its effect when it is answered for; what the user's next
request takes, until its slate without the item is there, is told beside it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.serving.process import HOST, redis, running, spent
from benchmarks.setting import Setting
from souk.spec import FeatureSpec, read_spec
from souk.store.definitions import offline_file
from souk.store.publish import publish
from souk.workspace import Workspace

EVENTS, CONCURRENCY, BATCH, BATCHES = 200, 8, 1000, 10
NUMBERS = count()


def measure(setting: Setting) -> list[dict[str, Any]]:
    """One row a store and a way of sending."""
    source = Workspace(setting.released())
    rows = _measured(source, setting.scratch / "sqlite", "sqlite", "")
    if shutil.which("redis-server"):
        with redis(setting.scratch) as (uri, _):
            rows += _measured(source, setting.scratch / "redis", "redis", uri)
    return rows


def _measured(source: Workspace, target: Path, name: str, uri: str) -> list[dict[str, Any]]:
    spec = read_spec(source.served_folder() / "spec.json")
    workspace = _copy(source, Workspace(target), spec, uri)
    users = pq.read_table(offline_file(spec, source.feast), columns=["user_id"])["user_id"].to_pylist()
    command = ["-m", "souk", "serve", "--workspace", str(workspace.root), "--http-port", "{port}"]
    patient = ["--grpc-port", "0", "--timeout-ms", "20000", "--store-timeout-ms", "1000"]
    with running([*command, *patient], "souk") as (port, process):
        shop = _Shop(port, spec)
        for user in users[:20]:  # warm
            shop.effect(user)
        rows = [shop.effect(user) for user in islice(cycle(users), EVENTS)]
        posts, both = np.array(rows).T * 1000
        cpu = [spent(process.pid)]
        alone = np.array([shop.click(user) for user in islice(cycle(users), EVENTS)]) * 1000
        cpu.append(spent(process.pid))
        began = time.perf_counter()
        with ThreadPoolExecutor(CONCURRENCY) as pool:
            together = np.array(list(pool.map(shop.click, islice(cycle(users), 2 * EVENTS)))) * 1000
        rate = len(together) / (time.perf_counter() - began)
        cpu.append(spent(process.pid))
        batches = np.array([shop.batch(users) for _ in range(BATCHES)]) * 1000
        cpu.append(spent(process.pid))
    each = np.diff(cpu) * 1000 / [EVENTS, 2 * EVENTS, BATCHES * BATCH]
    return [
        _row(name, "one event", np.concatenate([posts, alone]), 1000 / alone.mean(), each[0]),
        _row(name, "one event, and the next slate", both, 1000 / both.mean(), None),
        _row(name, f"one event, {CONCURRENCY} at a time", together, rate, each[1]),
        _row(name, f"{BATCH} events", batches, BATCH * 1000 / batches.mean(), each[2]),
    ]


def _row(store: str, sent: str, ms: np.ndarray, rate: float, cpu: float | None) -> dict[str, Any]:
    p50, p99 = np.percentile(ms, [50, 99])
    return {
        "store": store,
        "sent": sent,
        "p50 ms": round(float(p50), 1),
        "p99 ms": round(float(p99), 1),
        "events/s": round(float(rate)),
        "CPU ms/event": None if cpu is None else round(float(cpu), 2),
    }


def _copy(source: Workspace, target: Workspace, spec: FeatureSpec, uri: str) -> Workspace:
    """The release and its index, with the states published anew."""
    ignored = shutil.ignore_patterns("runs", "checkpoints", "impressions", "events", "feast", "LOCK")
    shutil.copytree(source.root, target.root, symlinks=True, ignore=ignored)
    publish(offline_states(source, spec, target.root), spec, target.feast, time.time_ns() // 1_000_000, uri)
    return target


def offline_states(source: Workspace, spec: FeatureSpec, folder: Path) -> Path:
    """The published states without the times of their publication."""
    table = pq.read_table(offline_file(spec, source.feast))
    path = folder / "user_state.parquet"
    pq.write_table(table.drop_columns(["event_timestamp", "created_timestamp"]), path)
    return path


class _Shop:
    """Calls to a server. A thread has a connection of its own for each call, as clients of a gateway have."""

    def __init__(self, port: int, spec: FeatureSpec) -> None:
        self._port, self._kind = port, str(spec.objectives.engaged.events[0])

    def effect(self, user: str) -> tuple[float, float]:
        """Seconds until an event was answered for, and until a slate without its item was there."""
        item = self._slate(user)[0]
        began = time.perf_counter()
        self._post("/v1/events", self._event(user, item))
        posted = time.perf_counter() - began
        if item in self._slate(user):
            raise RuntimeError(f"{item} is still in the slate of {user}")
        return posted, time.perf_counter() - began

    def click(self, user: str) -> float:
        """Seconds of one event."""
        began = time.perf_counter()
        self._post("/v1/events", self._event(user, "1"))
        return time.perf_counter() - began

    def batch(self, users: Sequence[str]) -> float:
        """Seconds of BATCH events of as many users as there are."""
        rows = [self._event(user, "1") for user in islice(cycle(users), BATCH)]
        began = time.perf_counter()
        self._post("/v1/events", {"events": rows})
        return time.perf_counter() - began

    def _event(self, user: str, item: str) -> dict[str, Any]:
        moment = time.time_ns() // 1_000_000 - 1
        known = {"user_id": user, "item_id": item, "event_type": self._kind, "timestamp": moment, "value": 5}
        return {"event_id": f"bench-{next(NUMBERS)}", **known}

    def _slate(self, user: str) -> list[str]:
        answer = self._post("/v1/models/souk:predict", {"instances": [{"user_id": user, "k": 10}]})
        return [item["item_id"] for item in answer["predictions"][0]["items"]]

    def _post(self, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=60)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            values = json.loads(answer.read())
        if answer.status != 200 or values.get("refused") or values.get("pending") or values.get("duplicates"):
            raise RuntimeError(f"{answer.status}: {values}"[:500])
        return values
