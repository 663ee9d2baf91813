"""An open-loop load generator: calls come when they come, whether those before them are answered or not.

Arrivals are a Poisson process. A latency counts from the moment a call was due, not from when a connection was free for
it, so that a server that stalls is charged for all who wait: no omission is coordinated with it (Tene 2013).

`python -m benchmarks.serving.load PORT[,PORT] PATH BODIES --rate R --seconds S` prints one line of JSON. Several
servers share the rate, each with arrivals of its own: together these are a Poisson process again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.serving.process import HOST

CONNECTIONS = 256  # to all servers; more would be a queue of its own, and too many for a loop of `select`
T = TypeVar("T")
WHOLE = b'"degraded":[]'
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Call:
    """What came of a call.

    Args:
        due: when it was to be sent, of the monotonic clock, seconds.
        sent: when there was a connection for it.
        done: when its last byte came.
        status: of HTTP; 0 without an answer.
        degraded: whether a slate of the answer is.
        told: what `Seen.read` makes of the answer.
    """

    due: float
    sent: float
    done: float
    status: int
    degraded: bool
    told: Any = None


@dataclass
class Seen:
    """The calls, in the order of their answers.

    Args:
        read: takes from the body of an answer what is to be kept of it.
        over: set while calls are sent, no further ones are.
    """

    read: Callable[[bytes], Any] = lambda body: None
    over: bool = False
    calls: list[Call] = field(default_factory=list)

    @property
    def statuses(self) -> dict[int, int]:
        """How many calls had each."""
        return dict(Counter(call.status for call in self.calls))

    def row(self, rate: float) -> dict[str, Any]:
        """The figures, latencies in milliseconds: of all calls but those that were sent away (429)."""
        kept = sum(call.status != 429 for call in self.calls)
        p50, p99, p999 = latencies(self.calls)
        late = np.percentile([call.sent - call.due for call in self.calls], 99) * 1000
        seconds = max(call.done for call in self.calls) - min(call.due for call in self.calls)
        return {
            "asked/s": rate,
            "answered/s": round(kept / seconds, 1),
            "p50 ms": round(p50, 2),
            "p99 ms": round(p99, 2),
            "p99.9 ms": round(p999, 2),
            "statuses": self.statuses,
            "degraded": sum(call.degraded for call in self.calls),
            "sent late p99 ms": round(float(late), 2),
        }


def latencies(calls: Sequence[Call]) -> tuple[float, float, float]:
    """p50, p99 and p99.9 in milliseconds of the calls that were not sent away (429), which would be the fastest; NaN
    where all were."""
    took = [1000 * (call.done - call.due) for call in calls if call.status != 429]
    p50, p99, p999 = np.percentile(took or [np.nan], [50, 99, 99.9]).tolist()
    return p50, p99, p999


async def load(
    port: int,
    path: str,
    bodies: list[bytes],
    rate: float,
    seconds: float,
    seed: int = 0,
    seen: Seen | None = None,
    connections: int = CONNECTIONS,
) -> Seen:
    """Sends calls at `rate` a second for `seconds`, and measures each.

    Args:
        port: of the server, on this machine.
        path: of every call.
        bodies: sent in turn.
        rate: calls a second, on average.
        seconds: how long.
        seed: of the arrivals.
        seen: gets the calls while they are made; None for a new one.
        connections: how many calls may be on their way.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
    seen = Seen() if seen is None else seen
    # The last one that came back is the next: who asks keeps few connections open, and opens one where none is free.
    free, calls = asyncio.LifoQueue[Connection | None](), []
    for _ in range(connections):
        free.put_nowait(None)
    began = time.perf_counter()
    for due, body in zip((began + np.cumsum(gaps)).tolist(), cycle(bodies), strict=False):
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if seen.over:
            break
        calls.append(asyncio.create_task(_call(port, path, body, due, free, seen)))
    await asyncio.gather(*calls)
    while not free.empty():
        if connection := free.get_nowait():
            connection[1].close()
    return seen


def run(loads: Coroutine[Any, Any, T]) -> T:
    """What becomes of loads, by a loop that wakes up when a call is due: asyncio's own counts in whole milliseconds, up
    to one of which would be added to each latency."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(loads)


async def shared(ports: Sequence[int], path: str, bodies: list[bytes], rate: float, seconds: float) -> Seen:
    """As `load`, of several servers: each has its part of the rate and of the bodies."""
    seen, count = Seen(), len(ports)
    await asyncio.gather(
        *(
            load(port, path, bodies[place::count], rate / count, seconds, place, seen, CONNECTIONS // count)
            for place, port in enumerate(ports)
        )
    )
    return seen


async def _call(
    port: int, path: str, body: bytes, due: float, free: asyncio.LifoQueue[Connection | None], seen: Seen
) -> None:
    connection = await free.get()
    sent = time.perf_counter()
    status, answer = 0, b""
    if connection and connection[0].at_eof():  # it rested for longer than the server keeps one open
        connection[1].close()
        connection = None
    try:
        connection = connection or await asyncio.open_connection(HOST, port)
        status, answer = await _exchanged(*connection, path, body)
    except (OSError, asyncio.IncompleteReadError):
        connection = None
    degraded = status == 200 and WHOLE not in answer
    done = time.perf_counter()
    seen.calls.append(Call(due, sent, done, status, degraded, seen.read(answer) if status == 200 else None))
    free.put_nowait(connection)


async def _exchanged(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, body: bytes
) -> tuple[int, bytes]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(answer.split("content-length:", 1)[1].split("\r\n", 1)[0])
    return int(answer.split(" ", 2)[1]), await reader.readexactly(length)


def main() -> None:
    """Reads the arguments, warms up for two seconds, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ports", type=lambda text: [int(port) for port in text.split(",")], metavar="PORT[,PORT]")
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="JSON lines, a body each")
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    warm = run(shared(given.ports, given.path, bodies, min(given.rate, 50), 2))
    found = run(shared(given.ports, given.path, bodies, given.rate, given.seconds))
    print(json.dumps({**found.row(given.rate), "sent": len(warm.calls)}))


if __name__ == "__main__":
    main()
