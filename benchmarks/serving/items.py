"""`python -m benchmarks.serving.items --workspace W`: what changes of items cost, and when another server shows them.

The workspace is copied, and its catalogue grown to `--items` by copies of its items in the log of upserts, so that the
servers have as many. Two servers then share it. Lag: the time from a call's answer at one to the first answer of the
other that shows it. Load: one server's latencies in an open loop with and without changes, sent to it and to the other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from benchmarks.__main__ import table, write
from benchmarks.serving.process import HOST, memory, running, spent, user_ids
from souk.serving.items.log import ItemLog
from souk.workspace import Workspace

PREDICT, UPSERT = "/v1/models/souk:predict", "/v1/items:upsert"
KINDS = ("a new item", "content (a title)", "availability")


def main() -> None:
    """Reads the arguments, measures, prints, and writes `benchmarks/results/items.json`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.items", description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument("--items", type=int, default=100_000, help="in the catalogue (%(default)s)")
    parser.add_argument("--changes", type=int, default=30, help="of each kind (%(default)s)")
    parser.add_argument("--rate", type=float, default=25, help="requests a second under load (%(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="of each load (%(default)s)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="souk-benchmarks-") as scratch:
        place = Path(scratch) / "workspace"
        shutil.copytree(given.workspace, place, symlinks=True)
        known = grown(place, given.items)
        words = ["-m", "souk", "serve", "--workspace", str(place), "--http-port", "{port}", "--grpc-port", "0"]
        with ExitStack() as both:
            (one, first), (other, second) = (both.enter_context(running(words, "souk")) for _ in range(2))
            rows = [lag(kind, one, other, known, given.changes, first.pid, second.pid) for kind in KINDS]
            print(table(rows))
            loads = list(under_load(one, other, second.pid, known, Path(scratch), place, given.rate, given.seconds))
            print(table(loads))
    write("items", [*rows, *loads], Workspace(given.workspace).current_release())


def grown(workspace: Path, size: int) -> list[dict[str, Any]]:
    """Adds copies of the items to the log until there are `size`; the items as the pipeline took them."""
    newest = max(workspace.glob("runs/**/tables/items.parquet"), key=lambda path: path.stat().st_mtime)
    known = [{n: v for n, v in row.items() if v is not None} for row in pq.read_table(newest).to_pylist()]
    rows = [{**row, "item_id": f"copy-{n}"} for n, row in zip(range(size - len(known)), cycle(known), strict=False)]
    ItemLog(Workspace(workspace).item_log).append(rows, [True] * len(rows), time.time_ns() // 1_000_000)
    return known


def changed(kind: str, known: Sequence[dict[str, Any]], number: int) -> tuple[dict[str, Any], bool]:
    """A row, and whether its item is shown afterwards."""
    row = known[number % len(known)]
    if kind == KINDS[0]:
        return {**row, "item_id": f"new-{number}-{time.time_ns()}"}, True
    if kind == KINDS[2]:
        return {"item_id": row["item_id"], "available": number // len(known) % 2 == 1}, number // len(known) % 2 == 1
    return {**row, "title": f"{row.get('title', '')} {number}"}, True


def lag(
    kind: str, one: int, other: int, known: Sequence[dict[str, Any]], changes: int, teller: int, shower: int
) -> dict[str, Any]:
    """How long until the other server shows a change, milliseconds, and what the call cost."""
    took, calls = list[float](), list[float]()
    before = spent(teller)
    for number in range(changes):
        row, shown = changed(kind, known, number)
        began = time.perf_counter()
        call(one, UPSERT, {"items": [row]})
        answered = time.perf_counter()
        calls.append(answered - began)
        while not shows(other, row, shown):
            time.sleep(0.01)
        took.append(time.perf_counter() - answered)
    cost = (spent(teller) - before) / changes
    p50, most = np.percentile(took, 50), max(took)
    return {
        "change": kind,
        "changes": changes,
        "seen p50 s": round(float(p50), 2),
        "seen max s": round(most, 2),
        "call p50 ms": round(1000 * float(np.percentile(calls, 50)), 1),
        "call p99 ms": round(1000 * float(np.percentile(calls, 99)), 1),
        "CPU ms a call": round(1000 * cost, 1),
        "MiB": memory(shower),
    }


def shows(port: int, row: dict[str, Any], shown: bool) -> bool:
    """Whether a server's answer has the change: the item, its title, or its absence."""
    asked = {"user_id": "nobody at all", "candidates": [row["item_id"]], "k": 1}
    items = call(port, PREDICT, {"instances": [asked]})["predictions"][0]["items"]
    if not shown:
        return not items
    return bool(items) and items[0]["title"] == (row.get("title") or items[0]["title"])


def under_load(
    one: int,
    other: int,
    pid: int,
    known: Sequence[dict[str, Any]],
    scratch: Path,
    place: Path,
    rate: float,
    seconds: float,
) -> Iterator[dict[str, Any]]:
    """Rows of the second server under load: alone, beside changes sent to the first, and to itself."""
    bodies = scratch / "bodies.jsonl"
    lines = (json.dumps({"instances": [{"user_id": user, "k": 20}]}) for user in user_ids(place))
    bodies.write_text("".join(f"{line}\n" for line in lines))
    words = [str(other), PREDICT, str(bodies), "--rate", str(rate), "--seconds", str(seconds)]
    numbers = count(10_000_000)
    for name, port, kind in (
        ("none", None, ""),
        ("10 availabilities/s elsewhere", one, KINDS[2]),
        ("10 availabilities/s here", other, KINDS[2]),
        ("10 titles/s here", other, KINDS[1]),
        ("2 new items/s here", other, KINDS[0]),
    ):
        with ExitStack() as beside:
            if port:
                told = partial(tell, port, kind, known, numbers)
                beside.callback(often(told, 0.5 if kind == KINDS[0] else 0.1))
            before = spent(pid)
            command = [sys.executable, "-m", "benchmarks.serving.load", *words]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            cost = (spent(pid) - before) / (found.pop("sent") + sum(found["statuses"].values()))
        yield {"changes": name, **found, "CPU ms": round(1000 * cost, 2)}


def tell(port: int, kind: str, known: Sequence[dict[str, Any]], numbers: Iterator[int]) -> None:
    """The next change."""
    call(port, UPSERT, {"items": [changed(kind, known, next(numbers))[0]]})


def often(what: Callable[[], Any], pause: float) -> Callable[[], None]:
    """Calls `what` in a thread, with pauses, until what is returned is called."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause):
            what()

    thread = threading.Thread(target=run)
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


def call(port: int, path: str, body: Any) -> Any:
    """The answer of a server."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        connection.request("POST", path, json.dumps(body, default=str), {"content-type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


if __name__ == "__main__":
    main()
