"""What a server's clients see while one thing that it waits for hangs: `python -m benchmarks.serving --hang [NAME]`.

One server for each, of a copy of the workspace, with a budget of TIMEOUT_MS for a request. Redis and Milvus are stopped
(SIGSTOP) and go on. A model of the release is a graph meanwhile that computes and does not end (.looping).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.milvus_server import milvus_server
from benchmarks.serving import souk_words
from benchmarks.serving.faults import START, TIMEOUT_MS, Phase, Steps, bodies, copied, stretches, told
from benchmarks.serving.load import Seen
from benchmarks.serving.process import redis, running
from souk.release.bundle import Bundle
from souk.store.publish import publish
from souk.workspace import Workspace

SLOWED = """
from pathlib import Path
import numpy as np
import souk.serving.signatures as signatures
from benchmarks.serving.looping import FOR_GOOD, looping
from souk.graphs import Graph

def slowed(call, file=Path({file!r}), endless=Graph(looping(FOR_GOOD))):
    def called(*given):
        if file.exists():
            endless(dict(x=np.zeros((1, 1), np.float32)))
        return call(*given)
    return called

signatures.{model}.{method} = slowed(signatures.{model}.{method})
"""


@dataclass(frozen=True)
class Hung:
    """Something that a server waits for.

    Args:
        words: of the server behind the interpreter; `{port}` stands for its port.
        hang: it hangs from then on.
        go_on: it does not any more.
    """

    words: Sequence[str]
    hang: Callable[[], None]
    go_on: Callable[[], None]


@contextlib.contextmanager
def a_redis(workspace: Path, copy: Workspace, folder: Path) -> Iterator[Hung]:
    """The Redis that holds the states of the users, of which the server keeps none."""
    states = max(workspace.glob("runs/**/features/user_state.parquet"), key=lambda path: path.stat().st_mtime)
    with redis(folder) as (uri, process):
        publish(states, Bundle.load(copy.served_folder()).spec, copy.feast, time.time_ns() // 1_000_000, uri)
        words = [*souk_words(copy.root), "--user-cache-seconds", "0"]
        yield Hung(words, lambda: process.send_signal(signal.SIGSTOP), lambda: process.send_signal(signal.SIGCONT))


@contextlib.contextmanager
def a_milvus(workspace: Path, copy: Workspace, folder: Path) -> Iterator[Hung]:
    """The Milvus server that candidates are searched by. One that stands still for longer than its sessions last ends
    when it goes on."""
    with milvus_server(folder / "milvus", session_seconds=600) as server:
        yield Hung([*souk_words(copy.root), "--milvus-uri", server.uri], server.freeze, server.thaw)


def a_model(model: str, method: str) -> Opened:
    """A model of the release, by its class in souk.serving.signatures and what is called of it."""

    @contextlib.contextmanager
    def opened(workspace: Path, copy: Workspace, folder: Path) -> Iterator[Hung]:
        file = folder / "slow"
        slowed = SLOWED.format(model=model, method=method, file=str(file))
        yield Hung(["-c", f"{slowed}\n{START}", *souk_words(copy.root)[2:]], file.touch, file.unlink)

    return opened


Opened = Callable[[Path, Workspace, Path], contextlib.AbstractContextManager[Hung]]
PARTS: dict[str, Opened] = {
    "redis": a_redis,
    "milvus": a_milvus,
    "query_tower": a_model("QueryTower", "vectors"),
    "ranker": a_model("Ranker", "probabilities"),
}


def hang(
    workspace: Path, scratch: Path, rate: float, seconds: float, serve: Sequence[str], parts: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Three rows for each of `parts`, or for all: before it hangs, meanwhile, and when it goes on."""
    rows = []
    for name in parts or PARTS:
        folder = scratch / name
        folder.mkdir()
        with PARTS[name](workspace, copied(workspace, folder), folder) as hung:
            words = [*hung.words, "--timeout-ms", str(TIMEOUT_MS), *serve]
            with running(words, "souk") as (port, process):
                found = stretches(port, process.pid, bodies(workspace), rate, steps(hung, seconds), told)
            rows += [{"hangs": name, **row} for row in found]
    return rows


def steps(hung: Hung, seconds: float) -> Steps:
    """What happens under load: it hangs, and goes on."""

    async def happen(seen: Seen, phases: list[Phase]) -> None:
        await asyncio.sleep(seconds)
        phases.append(Phase("hangs", time.perf_counter()))
        hung.hang()
        try:
            await asyncio.sleep(seconds)
        finally:
            phases.append(Phase("after", time.perf_counter()))
            hung.go_on()
        await asyncio.sleep(seconds)

    return happen
