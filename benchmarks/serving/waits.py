"""How long processes wait for a processor: what a busy machine adds to a latency, apart from what a server does."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

EVERY = 0.02  # seconds


class Waits:
    """The time that threads of processes were ready to run and none of the processors was free, over time.

    Args:
        processes: their ids.
    """

    def __init__(self, processes: Sequence[int] = ()) -> None:
        self._processes = processes
        self._times: list[float] = []
        self._waited: list[float] = []
        self._loads: list[float] = []

    async def watch(self, over: Callable[[], bool]) -> None:
        """Looks every EVERY seconds until it is over."""
        while not over():
            self.note(time.perf_counter(), sum(map(waited, self._processes)), os.getloadavg()[0])
            await asyncio.sleep(EVERY)

    def note(self, time: float, waited: float, load: float) -> None:
        """Takes one look into account: monotonic seconds, seconds since the processes began, processes that want to run
        in the last minute."""
        self._times.append(time)
        self._waited.append(waited)
        self._loads.append(load)

    def between(self, start: float, end: float) -> float:
        """Seconds that all threads together waited from one monotonic time to another: at least what they held up."""
        if not self._times:
            return 0.0
        first, last = np.interp([start, end], self._times, self._waited)
        return max(0.0, float(last - first))  # a thread that ended takes its own along

    def load(self, start: float, end: float) -> float:
        """The mean load of that time; NaN where nobody looked."""
        own = [load for time, load in zip(self._times, self._loads, strict=True) if start <= time < end]
        return float(np.mean(own)) if own else float("nan")


def waited(process: int) -> float:
    """Seconds that the threads of a process waited since they began, by the kernel's count; 0 where it keeps none."""
    total = 0
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        try:
            total += int(thread.read_text().split()[1])
        except OSError:  # it has ended meanwhile
            continue
    return total / 1e9
