"""What a server's clients see of a burst of three times what it can answer: `python -m benchmarks.serving --burst`.

First its capacity is measured: what CALLERS get who each ask again as soon as they are answered. Then a quarter of it
is asked for all the time, by an open loop, and for BURST seconds three times the capacity beside it. A request has
TIMEOUT_MS.

Twice: of the server as it is, whose capacity is that of the processors, which the load generator needs too; and of one
that also sleeps for each request, whose capacity is known, and so far below theirs that a busy machine changes little.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving import K, souk_words
from benchmarks.serving.faults import PATH, START, TIMEOUT_MS, Phase, Steps, late, observed
from benchmarks.serving.load import Call, Seen, latencies, load, run
from benchmarks.serving.process import HOST, gauge, running, user_ids
from benchmarks.serving.waits import Waits

CALLERS, TIMES, SHARE, BURST = 16, 3, 0.25, 5.0
SLEEP = 0.02  # seconds for each request
SLEPT = f"""
import time
from souk.serving.experiments.arms import Arms
awake = Arms.recommend

def slept(self, requests):
    time.sleep({SLEEP} * len(requests))
    return awake(self, requests)

Arms.recommend = slept
"""
WINDOW = 1.0  # seconds: it has recovered when the calls of one such are as they were
EVERY = 0.25  # seconds between two looks at the line


def burst(workspace: Path, seconds: float, serve: Sequence[str]) -> list[dict[str, Any]]:
    """For each of two servers a row for the time before, one for the burst, one for the time after."""
    words = [*souk_words(workspace), "--timeout-ms", str(TIMEOUT_MS), *serve]
    servers = {"as it is": words, f"{1000 * SLEEP:.0f} ms more a request": ["-c", f"{SLEPT}\n{START}", *words[2:]]}
    return [{"server": name, **row} for name, command in servers.items() for row in of_one(command, workspace, seconds)]


def of_one(words: Sequence[str], workspace: Path, seconds: float) -> list[dict[str, Any]]:
    """The rows of the server of a command."""
    users = user_ids(workspace)
    sent = [json.dumps({"instances": [{"user_id": user, "k": K}]}).encode() for user in users]
    patient = [json.dumps({"instances": [{"user_id": user, "k": K, "timeout_ms": 60_000}]}) for user in users]
    with running(words, "souk") as (port, process):
        for length in (2.0, seconds):  # the first warms up
            capacity = answered(port, patient, length)
        lengths: list[int] = []
        happen = steps(port, sent, capacity, seconds, lengths)
        seen, phases, waits = run(observed(port, process.pid, sent, SHARE * capacity, happen, Seen()))
    ends = [*(phase.start for phase in phases[1:]), float("inf")]
    rows = [row(phase, end, seen.calls, waits) for phase, end in zip(phases, ends, strict=True)]
    rows[0]["capacity/s"], rows[1]["line at most"] = round(capacity), max(lengths)
    rows[2]["recovered after s"] = recovered(seen.calls, phases[2].start)
    return [{"phase": phase.name, "capacity/s": None, **each} for phase, each in zip(phases, rows, strict=True)]


def steps(port: int, sent: list[bytes], capacity: float, seconds: float, lengths: list[int]) -> Steps:
    """The burst; `lengths` gets how many requests wait, every EVERY seconds of it."""

    async def happen(seen: Seen, phases: list[Phase]) -> None:
        await asyncio.sleep(seconds)
        phases.append(Phase("burst", time.perf_counter()))
        more = asyncio.create_task(load(port, PATH, sent, TIMES * capacity, BURST, seed=1, seen=seen))
        until = time.perf_counter() + BURST
        while time.perf_counter() < until:
            lengths.append(int(await asyncio.to_thread(gauge, port, "souk_waiting_requests")))
            await asyncio.sleep(EVERY)
        phases.append(Phase("after", until))
        await more
        await asyncio.sleep(max(0.0, until + seconds - time.perf_counter()))

    return happen


def answered(port: int, bodies: Sequence[str], seconds: float) -> float:
    """How many calls a second CALLERS get answered."""
    until, counts = time.perf_counter() + seconds, [0] * CALLERS

    def ask(caller: int) -> None:
        connection = http.client.HTTPConnection(HOST, port, timeout=60)
        while time.perf_counter() < until:
            connection.request("POST", PATH, bodies[(caller + CALLERS * counts[caller]) % len(bodies)])
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} for a caller with all the time")
            counts[caller] += 1

    threads = [threading.Thread(target=ask, args=(caller,)) for caller in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def row(phase: Phase, end: float, calls: Sequence[Call], waits: Waits) -> dict[str, Any]:
    """The figures of the calls that were due in a phase; latencies in milliseconds, of those that were taken."""
    own = [call for call in calls if phase.start <= call.due < end]
    p50, p99, _ = latencies(own)
    return {
        "asked/s": round(len(own) / (max(call.due for call in own) - phase.start)),
        "answered": sum(call.status == 200 for call in own),
        "sent away (429)": sum(call.status == 429 for call in own),
        "failed": sum(call.status not in (200, 429) for call in own),
        "p50 ms": round(p50, 1),
        "p99 ms": round(p99, 1),
        **late(own, waits),
        "degraded": sum(call.degraded for call in own),
        "sent late p99 ms": round(1000 * float(np.percentile([call.sent - call.due for call in own], 99)), 1),
        "line at most": None,
        "recovered after s": None,
        "load": round(waits.load(phase.start, end), 1),
    }


def recovered(calls: Sequence[Call], end: float) -> float | None:
    """Seconds from the end of the burst to the first WINDOW whose calls were all answered, 99% in their time; None
    where there is none. A window begins with a call."""
    after = sorted((call for call in calls if call.due >= end), key=lambda call: call.due)
    for first in after:
        own = [call for call in after if first.due <= call.due < first.due + WINDOW]
        if first.due + WINDOW > after[-1].due:
            break
        took = np.percentile([1000 * (call.done - call.due) for call in own], 99)
        if took <= TIMEOUT_MS and all(call.status == 200 for call in own):
            return round(first.due - end, 2)
    return None
