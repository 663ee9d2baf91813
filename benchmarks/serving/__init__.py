"""The server under load, beside a KServe server with an empty model: `python -m benchmarks.serving --help`.

A row a rate: latencies of an open loop (benchmarks.serving.load), and the processor's time of the server's process for
a request. Servers and load generator share the machine's cores, in all cases alike.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.serving.process import await_workers, memory, pin, running, spent, user_ids, with_workers
from benchmarks.setting import Setting

RATES, SECONDS, K = (100.0, 200.0, 400.0), 20.0, 20
EMPTY = ("-m", "benchmarks.empty_server", "{port}")


def measure(setting: Setting) -> list[dict[str, Any]]:
    """The rows of a workspace's release with the defaults of `souk serve`."""
    return measured(setting.released(), setting.scratch, RATES, SECONDS, K)


def measured(
    workspace: Path,
    scratch: Path,
    rates: Sequence[float],
    seconds: float,
    k: int,
    serve: Sequence[str] = (),
    servers: int = 1,
    workers: int = 1,
) -> list[dict[str, Any]]:
    """A row for the empty server and for Souk's at each rate, one user a request; of several of Souk's first as the
    system places them, and then with a core for each, as Kubernetes' static CPU manager gives them.

    Args:
        workspace: with a release, and the tables of its run.
        scratch: a folder for the bodies.
        rates: requests a second.
        seconds: of each rate.
        k: items of a slate.
        serve: more words for `souk serve`.
        servers: of Souk, which share the rate, as replicas do.
        workers: of each of them.
    """
    bodies = written_bodies(workspace, scratch, k)
    empty = loaded(EMPTY, "empty", bodies, rates, seconds)
    words = [*souk_words(workspace), *serve, *(("--workers", str(workers)) if workers > 1 else ())]
    souk = loaded(words, "souk", bodies, rates, seconds, servers)
    for row in souk if workers > 1 else ():
        row["server"] += f", {workers} workers"
    cost = {row["asked/s"]: row["CPU ms"] for row in empty}  # by rate: the more calls there are, the less one costs
    for row in (*empty, *souk):
        row["CPU, empty = 1"] = round(row["CPU ms"] / cost[row["asked/s"]], 1)
    return [*empty, *souk]


def written_bodies(workspace: Path, scratch: Path, k: int) -> Path:
    """A file with the body of a call for each user."""
    path = scratch / "bodies.jsonl"
    lines = (json.dumps({"instances": [{"user_id": user, "k": k}]}) for user in user_ids(workspace))
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def souk_words(workspace: Path) -> list[str]:
    """The command of Souk's server behind the interpreter; `{port}` stands for its port."""
    return ["-m", "souk", "serve", "--workspace", str(workspace), "--http-port", "{port}", "--grpc-port", "0"]


def loaded(
    command: Sequence[str], model: str, bodies: Path, rates: Sequence[float], seconds: float, servers: int = 1
) -> list[dict[str, Any]]:
    """A row for each rate, of one server process, or of several: free, and with a core for each."""
    with ExitStack() as stack:
        ports, processes = zip(*(stack.enter_context(running(command, model)) for _ in range(servers)), strict=True)
        for port in ports:
            await_workers(port)
        own = [process.pid for process in processes]
        if "--workers" in command:
            own = [worker for process in own for worker in with_workers(process)]
        rows = [under_load(model, ports, own, bodies, rate, seconds) for rate in rates]
        if servers > 1:
            for place, process in enumerate(own):
                pin(process, place)
            apart = [under_load(model, ports, own, bodies, rate, seconds) for rate in rates]
            rows += [{**row, "server": f"{row['server']}, a core each"} for row in apart]
        return rows


def under_load(
    model: str, ports: Sequence[int], processes: Sequence[int], bodies: Path, rate: float, seconds: float
) -> dict[str, Any]:
    """The row of a rate; the time of the processors, of all processes together, includes two seconds of warming up."""
    where = [",".join(map(str, ports)), f"/v1/models/{model}:predict", str(bodies)]
    words = [*where, "--rate", str(rate), "--seconds", str(seconds)]
    before = sum(map(spent, processes))
    call = [sys.executable, "-m", "benchmarks.serving.load", *words]
    done = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout)
    cost = (sum(map(spent, processes)) - before) / (found.pop("sent") + sum(found["statuses"].values()))
    name = model if len(ports) == 1 else f"{len(ports)} {model}"
    return {"server": name, **found, "CPU ms": round(1000 * cost, 2), "MiB": sum(map(memory, processes))}
