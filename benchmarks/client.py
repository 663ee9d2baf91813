"""A load generator: a fixed number of POST requests over connections that stay open.

`python -m benchmarks.client PORT PATH BODIES --requests N --concurrency C` prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

HOST = "127.0.0.1"


async def load(port: int, path: str, bodies: list[bytes], requests: int, concurrency: int) -> dict[str, Any]:
    """Sends `requests` bodies in turn over `concurrency` connections and measures each answer."""
    work = islice(cycle(bodies), requests)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()
    await asyncio.gather(*(_connection(port, path, work, latencies, statuses) for _ in range(concurrency)))
    seconds = time.perf_counter() - began
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    return {
        "requests/s": round(requests / seconds, 1),
        "p50 ms": round(float(p50), 2),
        "p99 ms": round(float(p99), 2),
        "statuses": dict(statuses),
    }


async def _connection(
    port: int, path: str, work: Iterator[bytes], latencies: list[float], statuses: Counter[int]
) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: "
    for body in work:
        began = time.perf_counter()
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(answer.split("content-length:", 1)[1].split("\r\n", 1)[0])
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        statuses[int(answer.split(" ", 2)[1])] += 1
    writer.close()
    await writer.wait_closed()


def main() -> None:
    """Reads the arguments, warms up with a tenth of the requests, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("bodies", type=Path, help="JSON lines, a body each")
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    asyncio.run(load(given.port, given.path, bodies, max(1, given.requests // 10), given.concurrency))
    print(json.dumps(asyncio.run(load(given.port, given.path, bodies, given.requests, given.concurrency))))


if __name__ == "__main__":
    main()
