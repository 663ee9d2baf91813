"""The same models behind the usual chain of microservices: `python -m benchmarks.serving.chain --workspace W`.

Feast's feature server, a query tower and a ranker as KServe models that run the SavedModels by TensorFlow, Milvus
Lite's server, and a KServe transformer that asks them in turn (chain_stores, chain_models, chain_transformer): five
processes beside the one of `souk serve`, and beside the KServe server with an empty model. All stand at once, and each
rate goes to one after the other, so that what the machine does beside is done to all alike. Before that, scores of the
chain are compared with Souk's, for the same users and candidates.

In the chain's favour: the tables of pair features and of what the ranker reads of items are in its processes, where a
feature store would be asked; its candidates are the index's alone, where Souk merges four sources; it writes no
impressions, and has no deadlines.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.__main__ import table, write
from benchmarks.serving import EMPTY, K, souk_words, under_load, written_bodies
from benchmarks.serving.process import HOST, await_ready, healthy, listening, running, started, user_ids
from souk.index.milvus import open_or_build
from souk.release.bundle import Bundle
from souk.workspace import Workspace

SERVERS = "benchmarks.serving.chain"
TOLERANCE = 1e-3  # of a score
USERS = 3  # whose scores are compared


def main() -> None:
    """Reads the arguments, compares, measures, prints and writes `benchmarks/results/chain.json`."""
    description = (__doc__ or "").split(":")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.chain", description=description)
    parser.add_argument("--workspace", type=Path, required=True, help="with a release, and the tables of its run")
    parser.add_argument("--rates", default="25,100", help="requests a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each rate (%(default)g)")
    parser.add_argument("--k", type=int, default=K, help="items of a slate (%(default)s)")
    given = parser.parse_args()
    workspace = given.workspace.resolve()
    bundle = Bundle.load(Workspace(workspace).served_folder())
    with tempfile.TemporaryDirectory(prefix="souk-benchmarks-") as scratch, ExitStack() as stack:
        bodies = written_bodies(workspace, Path(scratch), given.k)
        alone = {"empty": EMPTY, "souk": souk_words(workspace)}
        single = {name: stack.enter_context(started(words)) for name, words in alone.items()}
        both = stack.enter_context(chain(workspace, bundle, Path(scratch)))
        for name, (port, process) in single.items():
            await_ready(port, process, name)
        servers = {name: (port, [process.pid]) for name, (port, process) in single.items()} | {"chain": both}
        print(compared(workspace, bundle, {name: port for name, (port, _) in servers.items()}), flush=True)
        rows = []
        for rate in map(float, given.rates.split(",")):
            for name, (port, processes) in servers.items():
                print(f"{name}: {rate:g} a second", flush=True)
                rows.append(under_load(name, [port], processes, bodies, rate, given.seconds))
    rows = with_ratios(rows)
    print(table(rows))
    write("chain", rows, bundle.name)


@contextmanager
def chain(workspace: Path, bundle: Bundle, scratch: Path) -> Iterator[tuple[int, list[int]]]:
    """The port of the transformer, and the processes of all five."""
    folder = scratch / "index.db"
    index = open_or_build(str(folder), bundle.settings.collection, bundle.vectors, bundle.indexed, lambda text: None)
    index.close()
    ready = {"features": healthy, "index": listening}
    commands = {
        "features": (f"{SERVERS}_stores", "features", "{port}", str(workspace)),
        "index": (f"{SERVERS}_stores", "index", "{port}", str(folder)),
        "tower": (f"{SERVERS}_models", "tower", "{port}", str(workspace)),
        "ranker": (f"{SERVERS}_models", "ranker", "{port}", str(workspace)),
    }
    with ExitStack() as stack:
        servers = {role: stack.enter_context(started(["-m", *words])) for role, words in commands.items()}
        for role, (port, process) in servers.items():
            await_ready(port, process, role, ready.get(role))
        named = [f"{role}={port}" for role, (port, _) in servers.items()]
        command = ["-m", f"{SERVERS}_transformer", "{port}", str(workspace), *named]
        port, process = stack.enter_context(running(command, "chain"))
        yield port, [process.pid, *(process.pid for _, process in servers.values())]


def compared(workspace: Path, bundle: Bundle, ports: dict[str, int]) -> str:
    """How far the chain's scores of its candidates are from those that Souk gives the same ones.

    Raises:
        RuntimeError: too far, or they answer for different items.
    """
    now, most, apart, items = time.time_ns() // 1_000_000, bundle.settings.max_slate_size, 0.0, 0
    for user in user_ids(workspace)[:USERS]:
        asked = {"user_id": user, "k": most, "timestamp": now}
        own = scores(ports["chain"], "chain", asked)
        theirs = scores(ports["souk"], "souk", {**asked, "candidates": list(own), "timeout_ms": 60_000})
        if own.keys() != theirs.keys():
            raise RuntimeError(f"the chain has {len(own)} items for {user}, and Souk {len(theirs)} of them")
        apart, items = max(apart, *(abs(own[item] - theirs[item]) for item in own)), items + len(own)
    if apart > TOLERANCE:
        raise RuntimeError(f"the chain's scores are up to {apart:.2g} from Souk's")
    return f"{items} scores of the chain are within {apart:.1g} of Souk's"


def scores(port: int, model: str, instance: dict[str, Any]) -> dict[str, float]:
    """Of each item of a slate."""
    body = json.dumps({"instances": [instance]}).encode()
    url, head = f"http://{HOST}:{port}/v1/models/{model}:predict", {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, head), timeout=60) as answer:
        slate = json.loads(answer.read())["predictions"][0]
    return {item["item_id"]: item["score"] for item in slate["items"]}


def with_ratios(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with latency and processor's time an answer in units of Souk's; calls sent away are no answers."""
    for row in rows:
        answered = row["statuses"].get("200", 0) / sum(row["statuses"].values())
        row["CPU ms an answer"] = round(row["CPU ms"] / answered, 2) if answered else float("inf")
    souk = {row["asked/s"]: row for row in rows if row["server"] == "souk"}
    told = {"p50 ms": "p50, souk = 1", "p99 ms": "p99, souk = 1", "CPU ms an answer": "CPU, souk = 1"}
    return [
        {**row, **{new: round(row[old] / souk[row["asked/s"]][old], 2) for old, new in told.items()}} for row in rows
    ]


if __name__ == "__main__":
    main()
